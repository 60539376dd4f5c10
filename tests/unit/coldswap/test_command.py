"""The command, as somebody types it: what it writes and says, and how it ends."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coldswap import command, picture_commands
from coldswap.command import main
from layers.engine import build
from tests.support.plain_gifs import write_gif
from tests.unit.coldswap.conftest import FACE, MEME

OUT = "out.png"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Stream:
    """Standard input or output of bytes."""

    def __init__(self, content: bytes = b"") -> None:
        self.buffer = io.BytesIO(content)


def test_a_picture_comes_out_in_the_format_of_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["swap", str(FACE), str(MEME), "-o", OUT]) == 0

    assert Path(OUT).read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == "out.png: 1 of 1 face replaced\n"
    assert [each.name for each in Path().iterdir() if each.is_file()] == [OUT]
    assert main(["verify", OUT]) == 0
    assert main(["verify", str(MEME)]) == 1


@pytest.mark.full
def test_a_meme_that_moves_comes_out_in_the_format_of_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    face = Image.open(FACE).convert("RGB").resize((96, 96), Image.Resampling.BOX)
    drawing = np.asarray(face, np.uint8)[:, :, ::-1] & np.uint8(0xC0)
    Path("meme.gif").write_bytes(write_gif([np.roll(drawing, shift, axis=1) for shift in (0, 2)]))

    assert main(["swap", str(FACE), "meme.gif", "-o", "out.mp4"]) == 0

    assert Path("out.mp4").read_bytes()[4:8] == b"ftyp"
    assert capsys.readouterr().out.startswith("out.mp4: 1 of 1 face replaced\n")
    assert main(["verify", "out.mp4"]) == 0


def test_facts_come_as_json_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["swap", str(FACE), str(MEME), "-o", OUT, "--json", "--faces", "0", "--detail", "fast"]) == 0

    facts = json.loads(capsys.readouterr().out)
    assert (facts["detail"], facts["content_type"]) == ("fast", "image/png")


def test_pictures_go_through_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Stream()
    monkeypatch.setattr(sys, "stdin", Stream(MEME.read_bytes()))
    monkeypatch.setattr(sys, "stdout", out)

    assert main(["swap", str(FACE), "-", "-o", "-"]) == 0

    assert out.buffer.getvalue().startswith(b"\xff\xd8\xff")


def test_a_file_to_verify_comes_through_a_stream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["swap", str(FACE), str(MEME), "-o", OUT])
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", Stream(Path(OUT).read_bytes()))

    assert main(["verify", "-"]) == 0

    assert capsys.readouterr().out.startswith("Your key signed the file, and it has not been changed since.")


def test_a_file_to_verify_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "no-such.jpg"]) == 2

    assert capsys.readouterr().err == "coldswap: There is no file no-such.jpg. (input_not_found)\n"


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rename = Path.replace

    def fail(part: Path, target: Path) -> Path:
        if target == Path(OUT):
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(part, target)

    monkeypatch.setattr(Path, "replace", fail)

    assert main(["swap", str(FACE), str(MEME), "-o", OUT]) == 1

    assert capsys.readouterr().err.endswith("out.png cannot be written: No space left on device. (not_written)\n")
    assert [each for each in Path().iterdir() if each.is_file()] == []


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["no-such.jpg", str(MEME), "-o", OUT], 2, "input_not_found"),
        ([str(FACE), str(MEME), "-o", "out.gif"], 2, "invalid_request"),
        ([str(FACE), str(MEME), "-o", "no-such-folder/out.jpg"], 2, "not_written"),
        ([str(FACE), str(MEME), "-o", "."], 2, "not_written"),
        ([str(FACE), str(MEME), "-o", ""], 2, "not_written"),
        (["https://example.com/me.jpg", str(MEME), "-o", OUT], 2, "input_not_found"),
        ([str(FACE), str(MEME), "-o", OUT, "--faces", "left"], 2, "invalid_request"),
        ([str(FACE), str(MEME), "-o", "-", "--json"], 2, "invalid_request"),
        (["-", "-", "-o", OUT], 2, "invalid_request"),
        ([__file__, str(MEME), "-o", OUT], 3, "unsupported_picture"),
        ([str(FACE), str(MEME), "-o", OUT, "--models", "."], 1, "models_missing"),
    ],
)
def test_errors_are_a_sentence_with_a_code(
    arguments: list[str], status: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["swap", *arguments]) == status

    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert out == ""
    assert last.startswith("coldswap: ")
    assert last.endswith(f". ({code})")
    assert not Path(OUT).exists()


def test_faces_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faces", str(MEME)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("0  from ")
    assert line.endswith("can be swapped")

    assert main(["faces", str(MEME), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faces"][0]["index"] == 0


def test_an_interruption_is_no_trace_of_calls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(picture_commands, "_list_faces", interrupt)
    assert main(["faces", str(MEME)]) == 130
    assert "(interrupted)" in capsys.readouterr().err


@pytest.mark.parametrize(("compiler", "word"), [(None, "needs a C++ compiler"), ("c++", "-m layers.engine.build")])
def test_a_missing_engine_is_said(
    compiler: str | None, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "LIBRARY", tmp_path / "none.so")
    monkeypatch.setattr(build, "compiler", lambda: compiler)
    assert word in picture_commands.advise_on_engine("onnxruntime")[0]
    assert picture_commands.advise_on_engine("native avx2") == []


def test_serve_is_make_up_in_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda program, arguments: calls.append([program, *arguments[3:]]))

    main(["serve", "HOST=0.0.0.0"])

    ((program, root, target, variable),) = calls
    assert (program, target, variable) == ("make", "up", "HOST=0.0.0.0")
    assert (Path(root) / "Makefile").is_file()
    assert main(["serve", "up"]) == 2


def test_serve_says_what_a_wheel_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "__file__", str(tmp_path / "site-packages/coldswap/command.py"))

    assert main(["serve"]) == 2

    assert "checkout" in capsys.readouterr().err
