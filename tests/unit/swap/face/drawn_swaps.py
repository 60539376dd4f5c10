"""Drawn faces with exact keypoints and known hair, swapped by the demo pack and pasted back by our own code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face import align, cielab
from functions.swap.face.face_mask import Neighbour
from functions.swap.face.paste import paste
from functions.swap.values import Detail, Floats
from layers.media.picture import Pixels
from local.demo_pack import memes
from local.demo_pack.drawing import draw
from local.demo_pack.geometry import head_outline, keypoints, make_placement, place, turn
from local.demo_pack.people import RESERVE, Identity, State, identity, sample_carrier
from local.demo_pack.reference_pack import ReferencePack

SMILING = State(smile=0.4)
Mask = NDArray[np.bool_]
RUBY, NOOR, IVY, WALTER = 24, 30, 29, 3  # numbers of the demo's portraits in the reserve


@cache
def load_pack() -> ReferencePack:
    return ReferencePack.load()


@cache
def embed(number: int) -> Floats:
    """The unit embedding of a person of the reserve, float32 [512]."""
    portrait = memes._portrait(number, 6, "#f4d9a8")
    return np.asarray(load_pack().faces(portrait, 384)[0].normed_embedding, np.float32)


@dataclass(frozen=True)
class Drawn:
    """A person of the reserve in a picture of `shape` (height, width), with a head of `unit` pixels at x, y."""

    number: int
    unit: float
    x: float
    y: float
    shape: tuple[int, int]
    hair: int = 9
    state: State = SMILING
    hair_colour: int = 2

    @property
    def person(self) -> Identity:
        return identity(RESERVE.start + self.number)

    @property
    def placement(self) -> Floats:
        return make_placement(self.unit, 0.05, self.x, self.y)

    @property
    def keypoints(self) -> Floats:
        return keypoints(self.person, self.state, self.placement)

    def draw(self, onto: Pixels, hair_colour: int | None = None, person: Identity | None = None) -> Pixels:
        """The person drawn over a picture, uint8 BGR; `person` gives another face to the same head."""
        own = sample_carrier(np.random.default_rng(self.number), self.person)
        colour = self.hair_colour if hair_colour is None else hair_colour
        carrier = replace(own, hair=self.hair, hair_colour=colour)
        return draw(person or self.person, carrier, self.state, self.placement, self.shape, onto)

    def find_hair(self, onto: Pixels) -> Mask:
        """Which pixels show hair: those that change with its colour."""
        return np.asarray(np.ptp([self.draw(onto, colour).astype(int) for colour in (8, 0)], axis=0).max(2) > 30)

    def find_face(self, onto: Pixels) -> Mask:
        """Which pixels show the head and are no hair."""
        own = sample_carrier(np.random.default_rng(self.number), self.person)
        outline = place(turn(head_outline(own), self.state), self.placement)
        head = np.zeros(self.shape, np.uint8)
        cv2.fillPoly(head, [np.rint(outline).astype(np.int32)], (1.0,))
        pale, dark = (self.draw(onto, person=replace(self.person, tone=tone)).astype(int) for tone in (0.0, 1.0))
        skin = (np.abs(pale - dark).max(2) > 8) | (head > 0)
        return np.asarray((cv2.dilate(skin.astype(np.uint8), np.ones((3, 3))) > 0) & ~self.find_hair(onto))


def plain_ground(height: int, width: int) -> Pixels:
    """A soft gradient, uint8 BGR."""
    return memes.gradient(height, width, np.array([148, 214, 143], np.float32), np.array([150, 86, 79], np.float32))


def swap(
    picture: Pixels,
    points: Sequence[Floats],
    chosen: Sequence[int],
    source: int,
    *,
    color_match: bool = True,
    soft_edges: bool = True,
    detail: Detail = "balanced",
) -> Pixels:
    """A copy of the picture with the chosen of its faces, given by keypoints, replaced by a person of the reserve."""
    result = picture.copy()
    matrices = [align.alignment_matrix(five, 128) for five in points]
    mirror = color_match or soft_edges or detail != "fast"
    crops = [align.crop_face(picture, points[index], 128, mirror_border=mirror)[0] for index in chosen]
    for index, crop in zip(chosen, crops, strict=True):
        face = load_pack().swap_crop(crop, embed(source))
        others = [Neighbour(matrix, at in chosen) for at, matrix in enumerate(matrices) if at != index]
        paste(
            result,
            crop,
            face,
            matrices[index],
            color_match=color_match,
            soft_edges=soft_edges,
            detail=detail,
            neighbours=others,
        )
    return result


def to_grey(picture: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def to_sepia(picture: Pixels) -> Pixels:
    return np.asarray(np.rint(to_grey(picture) * np.array([0.62, 0.82, 1.0])), np.uint8)


def differences(one: Pixels, other: Pixels) -> tuple[Floats, Floats]:
    """The difference of each pixel in CIELAB: of lightness, and in all; float32 [H, W] each."""
    difference = cielab.bgr_to_lab(one) - cielab.bgr_to_lab(other)
    return np.abs(difference[:, :, 0]), np.sqrt(np.square(difference).sum(2))
