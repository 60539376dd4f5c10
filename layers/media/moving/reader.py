"""Opens a moving picture of any kind: first what it is, within limits, then its frames, one at a time."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from layers.core.deadline import Deadline
from layers.core.errors import UnreadablePicture, UnsupportedPicture
from layers.media.formats import SNIFFED_BYTES, describe_other
from layers.media.moving.apng_frames import ApngFile, describe_apng, read_apng, read_apng_frames
from layers.media.moving.description import Frame, Limits, MovingPicture, Note
from layers.media.moving.gif_blocks import GifFile, describe_gif, read_gif
from layers.media.moving.gif_frames import read_gif_frames
from layers.media.moving.kinds import sniff_moving
from layers.media.moving.video_frames import ask_colors, has_high_range, read_video_frames
from layers.media.moving.video_probe import VideoFile, probe_video
from layers.media.moving.webp_frames import WebpFile, describe_webp, read_webp, read_webp_frames

Structure = GifFile | WebpFile | ApngFile | VideoFile

_SUPPORTED = "Send a GIF, an animated WebP, an APNG, or a video as MP4, MOV or WebM."


class MovingReader:
    """A moving picture in a file, which is mapped into memory and not read whole; it must not change meanwhile."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Probe the file, without decoding a pixel.

        Raises UnsupportedPicture for anything that does not move, UnreadablePicture or PictureTooLarge.
        """
        self.path, self._limits = path, limits
        with path.open("rb") as file:
            size = file.seek(0, 2)
            limits.check_bytes(size)
            if not size:
                raise UnreadablePicture("The file is empty: it has no bytes.")
            self.data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        self.structure, self.picture = probe_moving(self.data, limits)
        self.notes: list[Note] = [*self.picture.notes]
        """What has to be told of the file; complete once all frames have been read."""

    def frames(self, deadline: Deadline) -> Iterator[Frame]:
        """Yield the frames, one at a time; the description of `Frame` has shapes and colours.

        Frames that cannot be read, and all after them, are left out, and `notes` say so. Raises UnreadablePicture if
        none can be read, PictureTooLarge, or OutOfTime.
        """
        count = 0
        for frame in self._frames(deadline):
            deadline.check("reading frames")
            count += 1
            yield frame
        if not count:
            raise UnreadablePicture("The moving picture is damaged: none of its frames can be read.")
        if count < self.picture.frames and self.picture.frame_count_is_exact and "truncated" not in self.notes:
            self.notes.append("damaged_frame")

    def _frames(self, deadline: Deadline) -> Iterator[Frame]:
        if not isinstance(self.structure, VideoFile):
            return read_animation(self.data, self.structure)
        colors = ask_colors(self.path, self.picture, deadline)
        if has_high_range(self.picture, colors) and "tone_mapped" not in self.notes:
            self.notes.append("tone_mapped")
        return read_video_frames(self.path, self.picture, colors, self._limits, deadline)


def read_animation(data: memoryview, structure: GifFile | WebpFile | ApngFile) -> Iterator[Frame]:
    """The frames of an animation, uint8 BGRA [H, W, 4]; those that cannot be read, and all after them, are left out."""
    if isinstance(structure, GifFile):
        return read_gif_frames(data, structure)
    if isinstance(structure, WebpFile):
        return read_webp_frames(data, structure)
    return read_apng_frames(data, structure)


def probe_moving(data: memoryview, limits: Limits) -> tuple[Structure, MovingPicture]:
    """The structure and the description of a file. Raises as `MovingReader` does."""
    kind = sniff_moving(data)
    if kind == "gif":
        gif = read_gif(data, limits)
        return gif, describe_gif(gif, len(data), limits)
    if kind == "webp":
        webp = read_webp(data, limits)
        return webp, describe_webp(webp, len(data), limits)
    if kind == "apng":
        apng = read_apng(data, limits)
        return apng, describe_apng(apng, len(data), limits)
    if kind is None:
        other = describe_other(bytes(data[:SNIFFED_BYTES]))
        raise UnsupportedPicture(f"This is {other or 'not a moving picture in a supported format'}. {_SUPPORTED}")
    video = probe_video(data, kind, limits)
    return video, video.description
