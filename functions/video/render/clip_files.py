"""The temporary files of one clip: pieces, which are joined by copying, and the clip, whose frames are counted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from layers.core.deadline import Deadline
from layers.core.errors import UnreadableMedia
from layers.media.ffmpeg import run
from layers.media.mp4 import read_index

TIMESCALE = "15360"  # ticks a second, of every clip


@dataclass(frozen=True)
class ClipFiles:
    """Temporary files of one segment."""

    folder: Path
    index: int

    @property
    def source(self) -> Path:
        return self.folder / f"{self.index}.source"

    @property
    def subtitles(self) -> Path:
        return self.folder / f"{self.index}.ass"

    @property
    def fonts(self) -> Path:
        return self.folder / f"{self.index}.fonts"

    @property
    def clip(self) -> Path:
        return self.folder / f"{self.index}.mp4"

    @property
    def list(self) -> Path:
        return self.folder / f"{self.index}.txt"

    def part(self, number: int) -> Path:
        return self.folder / f"{self.index}-{number}.mp4"

    def remove(self) -> None:
        for path in (self.source, self.subtitles, self.clip, self.list, *self.folder.glob(f"{self.index}-*.mp4")):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.fonts, ignore_errors=True)


def join(files: ClipFiles, pieces: int, deadline: Deadline) -> None:
    """Make the clip of its pieces' files, without encoding them again.

    Raises EncodingFailed, StorageFull or OutOfTime.
    """
    if pieces == 1:
        files.part(0).replace(files.clip)
        return
    files.list.write_text("".join(f"file {files.part(number).name}\n" for number in range(pieces)))
    options = ["-c", "copy", "-video_track_timescale", TIMESCALE, "-map_metadata", "-1", "-f", "mp4"]
    run(["-f", "concat", "-i", str(files.list), *options, str(files.clip)], deadline=deadline)


def check_frames(path: Path, frames: int) -> None:
    """Check a clip's number of frames: footage with a damaged end gives too few, and ffmpeg calls that a success.

    Raises UnreadableMedia.
    """
    with path.open("rb") as file:

        def read(at: int, count: int) -> bytes:
            file.seek(at)
            return file.read(count)

        count = read_index(read, path.stat().st_size).frames
    if count != frames:
        raise UnreadableMedia(f"The footage has {count} frames where {frames} are needed.")
