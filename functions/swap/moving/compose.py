"""Puts swapped faces back into the frames of a moving meme."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from functions.swap.face.align import SWAPPER_SIZE, Matrix, bounding_box, invert
from functions.swap.face.color_match import ColorStatistics, match_color, measure_color
from functions.swap.face.face_mask import find_neighbours, frame_mask
from functions.swap.face.paste import paste
from functions.swap.moving.cover_mask import mix_crops, soften, warp_shown
from functions.swap.moving.patch import crop_frame
from functions.swap.moving.values import Analysis, FaceFrame, TrackFrame
from functions.swap.values import Detail, Floats
from layers.media.picture import Pixels


@dataclass(frozen=True)
class PasteOptions:
    """How faces are put back, as functions.swap.values.SwapRequest has it."""

    color_match: bool = True
    soft_edges: bool = True
    detail: Detail = "balanced"


class Composer:
    """Pastes the faces of some people into one frame after the other."""

    def __init__(
        self,
        analysis: Analysis,
        chosen: Collection[int],
        options: PasteOptions,
        colors: Mapping[FaceFrame, ColorStatistics],
    ) -> None:
        """`chosen`: the tracks that are replaced; `colors`: steady_color.average_colors of all their faces."""
        self._analysis = analysis
        self._chosen = frozenset(chosen)
        self._options = options
        self._colors = colors

    def paste_faces(self, pixels: Pixels, number: int, swapped: Mapping[int, Pixels]) -> None:
        """Put the swapped crops, uint8 BGR [128, 128, 3] by track, into a distinct frame, in place.

        `pixels`, uint8 BGR [H, W, 3], is the frame of that number as it was analysed. All crops are taken before the
        first face is replaced. A face without a swapped crop stays as it is.
        """
        seen = [
            (replace(frame.face, index=track.index), frame)
            for track, frame in self._analysis.faces_at(number)
            if frame.opacity > 0
        ]
        faces = [face for face, _ in seen]
        replaced = [(face, frame) for face, frame in seen if face.index in self._chosen and face.index in swapped]
        crops = [crop_frame(pixels, frame.forward)[0] for _, frame in replaced]
        chosen = [face for face, _ in replaced]
        for (face, frame), crop in zip(replaced, crops, strict=True):
            colors = self._colors.get(FaceFrame(number, face.index))
            result = self._match(swapped[face.index], crop, frame, colors)
            neighbours = find_neighbours(face, faces, chosen)
            shown = None if frame.cover is None else soften(frame.cover)
            before = _copy_box(pixels, frame.forward) if frame.opacity < 1 or shown is not None else None
            paste(
                pixels,
                crop if shown is None else mix_crops(crop, result, shown),  # no change where something hides it
                result,
                frame.forward,
                color_match=False,  # done already
                soft_edges=self._options.soft_edges,
                detail=self._options.detail,
                neighbours=neighbours,
                frame=number,
            )
            if before is not None:
                _fade(pixels, before, frame, shown)

    def _match(self, swapped: Pixels, crop: Pixels, frame: TrackFrame, colors: ColorStatistics | None) -> Pixels:
        if not self._options.color_match:
            return swapped
        in_frame = frame_mask(frame.forward, self._analysis.width, self._analysis.height)
        return match_color(swapped, crop, in_frame, colors)


def measure_face(analysis: Analysis, key: FaceFrame, swapped: Pixels, crop: Pixels) -> ColorStatistics:
    """The colours of one face, from its crops after and before the swap, uint8 BGR [128, 128, 3]."""
    forward = analysis.tracks[key.track].at(key.number).forward
    return measure_color(swapped, crop, frame_mask(forward, analysis.width, analysis.height))


def _copy_box(pixels: Pixels, forward: Matrix) -> Pixels:
    """What is pasted over."""
    x0, y0, x1, y1 = bounding_box(invert(forward), SWAPPER_SIZE, pixels.shape[1], pixels.shape[0])
    return pixels[y0:y1, x0:x1].copy()


def _fade(pixels: Pixels, before: Pixels, frame: TrackFrame, shown: Floats | None) -> None:
    """Let what was there before shine through, and stay where something hides the face."""
    place = bounding_box(invert(frame.forward), SWAPPER_SIZE, pixels.shape[1], pixels.shape[0])
    if not before.size:
        return
    x0, y0, x1, y1 = place
    box = pixels[y0:y1, x0:x1]
    if shown is None:
        box[:] = np.asarray(cv2.addWeighted(box, frame.opacity, before, 1 - frame.opacity, 0), np.uint8)
        return
    share = warp_shown(shown * np.float32(frame.opacity), frame.forward, place)
    box[:] = np.asarray(cv2.blendLinear(box.copy(), before, share, 1 - share), np.uint8)
    hidden = share == 0
    box[hidden] = before[hidden]
