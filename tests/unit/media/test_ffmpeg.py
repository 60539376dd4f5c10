"""ffmpeg as the steps run it: what it may read, when it ends, and what its failures are called."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, EncodingFailed, OutOfTime, StorageFull, UnreadableMedia
from layers.media.ffmpeg import program, run, untrusted_input

ENDLESS = ["-f", "lavfi", "-i", "testsrc2=size=64x64", "-f", "rawvideo"]
X264 = ["-c:v", "libx264", "-preset", "ultrafast"]


def soon() -> Deadline:
    return Deadline.after(600)


def draw(path: Path, *more: str, seconds: float = 0.5, codec: tuple[str, ...] = ("libx264",)) -> Path:
    source = f"testsrc2=size=64x64:rate=10:duration={seconds}"
    run(["-f", "lavfi", "-i", source, "-c:v", *codec, *more, str(path)], deadline=soon())
    return path


def convert(path: Path, to: Path) -> str:
    return run([*untrusted_input(path), "-an", *X264, str(to)], deadline=soon())


def test_a_run_writes_its_output_and_says_nothing(tmp_path: Path) -> None:
    stderr = convert(draw(tmp_path / "a.mp4"), tmp_path / "b.mp4")
    assert (tmp_path / "b.mp4").stat().st_size > 500
    assert stderr == ""


def test_stderr_is_kept_within_bounds_and_the_end_of_it(tmp_path: Path) -> None:
    source = ["-f", "lavfi", "-i", "nullsrc=size=16x16:rate=1000:duration=1", "-vf", "showinfo"]
    stderr = run([*source, "-f", "null", "-"], deadline=soon(), loglevel="info")
    assert 16_000 < len(stderr) <= 16_384
    assert "frame= 1000" in stderr


@pytest.mark.parametrize(
    ("head", "kind"),
    [("ffconcat version 1.0\nfile {}\n", "ffconcat"), ("#EXTM3U\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n", "m3u8")],
)
def test_a_playlist_called_mp4_reads_nothing_beside_it(tmp_path: Path, head: str, kind: str) -> None:
    neighbour = draw(tmp_path / "neighbour.mp4")
    hostile = tmp_path / "hostile.mp4"
    hostile.write_text(head.format(neighbour.name))
    output = tmp_path / "out.mp4"
    with pytest.raises(UnreadableMedia):
        convert(hostile, output)
    assert not output.exists()
    # Without the lists it is an input like any other, so there is something to guard against.
    if kind == "ffconcat":
        bare = [program(), "-nostdin", "-loglevel", "error", "-i", str(hostile), str(output)]
        subprocess.run(bare, check=True)
        assert output.exists()


def test_what_cannot_be_read_is_unreadable(tmp_path: Path) -> None:
    video = draw(tmp_path / "whole.mp4")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(video.read_bytes()[:-400])  # the index is at the end
    rare = draw(tmp_path / "rare.mp4", codec=("mjpeg", "-strict", "-2"))
    (tmp_path / "noise.mp4").write_bytes(os.urandom(5000))
    for path in (cut, rare, tmp_path / "noise.mp4", tmp_path / "not-there.mp4"):
        with pytest.raises(UnreadableMedia):
            convert(path, tmp_path / "out.mp4")


def test_a_full_disk_and_wrong_arguments_are_told_apart() -> None:
    picture = ["-f", "lavfi", "-i", "testsrc2=size=640x640:duration=5"]
    with pytest.raises(StorageFull):
        run([*picture, "-f", "rawvideo", "/dev/full"], deadline=soon())
    with pytest.raises(EncodingFailed, match="Encoder not found"):
        run([*picture, "-c:v", "no-such-encoder", "-f", "null", "-"], deadline=soon())


def test_the_end_of_time_ends_ffmpeg(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ended = threading.Event()

    def drain() -> None:
        with pipe.open("rb") as reader:
            while reader.read(1 << 20):
                pass
        ended.set()  # nobody holds the other end any more

    threading.Thread(target=drain, daemon=True).start()
    with pytest.raises(OutOfTime):
        run([*ENDLESS, str(pipe)], deadline=Deadline.after(0.5))
    assert ended.wait(60)


def test_no_time_at_all_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutOfTime):
        run([*ENDLESS, str(tmp_path / "never.mp4")], deadline=Deadline.after(-1))
    assert not list(tmp_path.iterdir())


def test_a_killed_worker_leaves_no_ffmpeg(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = (
        "import sys; from layers.core.deadline import Deadline; from layers.media.ffmpeg import run;"
        "run(sys.argv[1:], deadline=Deadline.after(600))"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, *ENDLESS, str(pipe)])
    with pipe.open("rb") as reader:
        assert reader.read(1 << 16)  # ffmpeg is at work
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        while reader.read(1 << 20):  # until its end of the pipe is closed
            pass


def test_ffmpeg_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEXELS_API_KEY", "a secret")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    failures: list[ColdswapError] = []

    def work() -> None:
        try:
            run([*ENDLESS, str(pipe)], deadline=soon())
        except ColdswapError as error:
            failures.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    with pipe.open("rb") as reader:
        assert reader.read(1 << 16)
        mine = [process for process in Path("/proc").glob("[0-9]*") if str(pipe) in _probe(process / "cmdline")]
        assert len(mine) == 1
        environment = _probe(mine[0] / "environ")
        assert "LC_ALL=C.UTF-8" in environment
        assert "secret" not in environment
    worker.join()  # the reader is gone
    assert isinstance(failures[0], EncodingFailed)


def _probe(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
