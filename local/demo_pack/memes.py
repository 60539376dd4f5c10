"""The demo's pictures, uint8 BGR: the portraits whose faces are put in, and the memes with the words on them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from local.demo_pack.canvas import Bytes, Floats, colour
from local.demo_pack.drawing import paste
from local.demo_pack.geometry import make_placement
from local.demo_pack.people import RESERVE, State, identity, sample_carrier

LARGEST = 78
"""Size (as `make_placement` takes it) of a face that fills no more of a meme than the swapper can draw sharp: its
aligned crop is some 210 pixels wide, of which the swapper makes 128."""


@dataclass(frozen=True)
class DemoPicture:
    """A file of the demo: `faces` is how many one can see, `caption` what the meme says ("" for a portrait)."""

    name: str
    path: Path
    faces: int
    caption: str


@dataclass(frozen=True)
class Meme:
    """How many faces it shows, the words above and below, and what paints it."""

    faces: int
    top: str
    bottom: str
    paint: Callable[[], Bytes]


PORTRAITS = (
    ("ruby", 24, 5, "#f4d9a8"),
    ("walter", 3, 3, "#9fd3c7"),
    ("noor", 30, 4, "#f2b8a0"),
    ("ivy", 29, 9, "#b9c6f2"),
)
"""Name, number in the reserve, hair style, background."""


def _portrait(number: int, hair: int, tint: str) -> Bytes:
    """A clear frontal portrait, 512 pixels."""
    person = identity(RESERVE.start + number)
    carrier = replace(sample_carrier(np.random.default_rng(number), person), hair=hair)
    picture = gradient(512, 512, colour(tint) * np.float32(1.06), colour(tint) * np.float32(0.72))
    paste(picture, person, carrier, State(smile=0.5, light=0.12), make_placement(112, 0.0, 256, 236))
    return picture


def gradient(height: int, width: int, top: Floats, bottom: Floats) -> Bytes:
    """Vertical blend of two colours."""
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    return np.asarray(np.broadcast_to(np.clip(top * (1 - t) + bottom * t, 0, 255), (height, width, 3)), np.uint8).copy()


def draw_caption(picture: Bytes, text: str, place: float) -> None:
    """Draw centred meme text in place, white with a black outline; `place` is its edge nearest the picture's, as a
    share of the height."""
    if not text:
        return
    height, width = picture.shape[:2]
    font, weight = cv2.FONT_HERSHEY_DUPLEX, 2
    (wide, tall), _ = cv2.getTextSize(text, font, 1.0, weight)
    scale = min(0.92 * width / wide, 0.085 * height / tall)
    (wide, tall), _ = cv2.getTextSize(text, font, scale, weight)
    x, y = (width - wide) // 2, int(place * height) + (tall if place < 0.5 else 0)
    reach = max(2, round(tall / 14))
    for angle in np.linspace(0, 2 * np.pi, 16, endpoint=False):
        shift = (x + round(reach * math.cos(angle)), y + round(reach * math.sin(angle)))
        cv2.putText(picture, text, shift, font, scale, (0, 0, 0), weight, cv2.LINE_AA)
    cv2.putText(picture, text, (x, y), font, scale, (255, 255, 255), weight, cv2.LINE_AA)


def _person(picture: Bytes, number: int, state: State, placement: Floats, hair: int, clothes: int = 5) -> None:
    person = identity(RESERVE.start + number)
    carrier = replace(sample_carrier(np.random.default_rng(number), person), hair=hair, clothes=clothes)
    paste(picture, person, carrier, state, placement)


def _rectangle(picture: Bytes, x0: float, y0: float, x1: float, y1: float, code: str) -> None:
    cv2.rectangle(picture, (int(x0), int(y0)), (int(x1), int(y1)), colour(code).tolist(), -1, cv2.LINE_AA)


def _rack(picture: Bytes, x: int, y: int, width: int, height: int, rng: np.random.Generator) -> None:
    """A server rack with lamps."""
    _rectangle(picture, x, y, x + width, y + height, "#20242e")
    rows = height // 16
    for row in range(rows):
        top = y + 5 + row * 16
        _rectangle(picture, x + 5, top, x + width - 5, top + 10, "#353b49")
        for lamp in range(3):
            code = ("#4be38a", "#4be38a", "#ffb03a", "#ff5548")[rng.integers(4)]
            cv2.circle(picture, (x + width - 12 - 8 * lamp, top + 5), 2, colour(code).tolist(), -1, cv2.LINE_AA)


def _works_on_my_machine() -> Bytes:
    """A proud face behind a laptop, in the middle of the sun's rays."""
    picture = gradient(640, 640, colour("#4f7bd9"), colour("#1d2f6b"))
    for number in range(24):
        if number % 2:
            angles = (np.array([number, number + 1]) * np.pi / 12)[:, None]
            far = np.concatenate(
                [[[320, 290]], np.array([320, 290]) + 800 * np.concatenate([np.cos(angles), np.sin(angles)], 1)]
            )
            cv2.fillPoly(picture, [far.astype(np.int32)], colour("#5f8cf0").tolist(), cv2.LINE_AA)
    _person(
        picture,
        47,
        State(smile=1.0, opening=0.35, raised_brows=0.7, gaze_x=0.2),
        make_placement(LARGEST, -0.06, 320, 275),
        3,
        7,
    )
    _rectangle(picture, 0, 530, 640, 640, "#7a4b2b")
    _rectangle(picture, 0, 530, 640, 540, "#9c6338")
    lid = np.array([[222, 408], [418, 408], [430, 530], [210, 530]])
    cv2.fillPoly(picture, [lid], colour("#c9ced8").tolist(), cv2.LINE_AA)
    cv2.circle(picture, (320, 466), 22, colour("#f4d35e").tolist(), -1, cv2.LINE_AA)
    cv2.polylines(
        picture, [np.array([[309, 466], [317, 475], [332, 456]])], False, colour("#2f6f3e").tolist(), 5, cv2.LINE_AA
    )
    _rectangle(picture, 196, 526, 444, 536, "#9aa1ae")
    return picture


def _everyone_in_the_call() -> Bytes:
    """A group of four on a video call, two above two."""
    picture = np.full((720, 960, 3), 30, np.uint8)
    moods = (
        (25, 5, "#e9c46a", State(smile=-0.3, raised_brows=0.9, gaze_x=0.5, yaw=0.1)),
        (21, 6, "#8ab17d", State(smile=0.8, opening=0.6, raised_brows=0.4, yaw=-0.12)),
        (45, 1, "#e76f51", State(smile=-0.6, frown=0.9, gaze_y=0.3)),
        (41, 2, "#6d9dc5", State(smile=0.2, opening=0.9, raised_brows=1.0, yaw=0.15)),
    )
    for place, (number, hair, tint, state) in enumerate(moods):
        row, column = divmod(place, 2)
        tile = gradient(348, 472, colour(tint), colour(tint) * np.float32(0.6))
        _person(tile, number, state, make_placement(84, 0.05 * (-1) ** place, 236, 164), hair, (3, 6, 1, 8)[place])
        picture[8 + 356 * row : 356 + 356 * row, 6 + 478 * column : 478 + 478 * column] = tile
    return picture


def _paged_in_bed() -> Bytes:
    """A face on its side, wide awake on a pillow."""
    picture = gradient(720, 900, colour("#2b2d52"), colour("#171833"))
    cv2.circle(picture, (110, 215), 56, colour("#f6edc8").tolist(), -1, cv2.LINE_AA)
    cv2.circle(picture, (134, 201), 50, colour("#282a4e").tolist(), -1, cv2.LINE_AA)
    for x, y in ((60, 120), (230, 190), (330, 130), (520, 170), (640, 240), (860, 290)):
        cv2.circle(picture, (x, y), 3, (230, 240, 255), -1, cv2.LINE_AA)
    _rectangle(picture, 0, 560, 900, 720, "#5b4a8a")
    _rectangle(picture, 0, 330, 46, 720, "#5a3a26")
    cv2.ellipse(picture, (250, 506), (196, 98), 0, 0, 360, colour("#dfe3f2").tolist(), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (250, 520), (188, 88), 0, 0, 360, colour("#f4f5fb").tolist(), -1, cv2.LINE_AA)
    _person(
        picture,
        32,
        State(smile=-0.6, raised_brows=1.0, gaze_y=-0.3),
        make_placement(LARGEST, -math.pi / 2, 270, 442),
        0,
        1,
    )
    blanket = np.array([[392, 400], [470, 366], [640, 384], [900, 352], [900, 720], [352, 720], [376, 570]])
    cv2.fillPoly(picture, [blanket], colour("#c8553d").tolist(), cv2.LINE_AA)
    for shift in range(5):
        x = 456 + 96 * shift
        cv2.line(picture, (x, 384), (x - 30, 720), colour("#e07a5f").tolist(), 14, cv2.LINE_AA)
    return picture


def _one_request_per_day() -> Bytes:
    """A small face among many servers."""
    picture = gradient(640, 960, colour("#3b4660"), colour("#5d6b8a"))
    rng = np.random.default_rng(64)
    for row, (y, width, height) in enumerate(((90, 70, 170), (210, 92, 250))):
        for x in range(-30 - 30 * row, 960, width + 10):
            if not (row == 1 and 390 < x + width / 2 < 570):
                _rack(picture, x, y, width, height, rng)
    _rectangle(picture, 0, 460, 960, 640, "#2a3040")
    _person(picture, 6, State(smile=-0.4, raised_brows=0.8, gaze_x=-0.6), make_placement(36, 0.0, 480, 370), 8, 3)
    _rectangle(picture, 400, 455, 560, 560, "#8a5a3c")
    _rectangle(picture, 390, 445, 570, 462, "#a8714c")
    return picture


def _deploy_on_friday() -> Bytes:
    """Three panels of the same person, ever less happy."""
    picture = np.full((560, 960, 3), 255, np.uint8)
    moods = (
        ("16:55", "#8fd694", State(smile=1.0, opening=0.3, raised_brows=0.3)),
        ("16:58", "#f4d35e", State(smile=0.0, raised_brows=1.0, gaze_x=0.9)),
        ("17:01", "#ee6352", State(smile=-0.7, opening=1.0, raised_brows=1.0)),
    )
    for place, (clock, tint, state) in enumerate(moods):
        tile = gradient(560, 314, colour(tint), colour(tint) * np.float32(0.55))
        _person(tile, 12, state, make_placement(92, 0.06 * (place - 1), 157, 262), 9, 2)
        cv2.putText(tile, clock, (104, 462), cv2.FONT_HERSHEY_DUPLEX, 1.3, (255, 255, 255), 2, cv2.LINE_AA)
        picture[:, 323 * place : 323 * place + 314] = tile
    return picture


def _this_is_the_bill() -> Bytes:
    """Calm at a table in a burning room."""
    picture = gradient(720, 720, colour("#6b2d1a"), colour("#c8501e"))
    rng = np.random.default_rng(451)
    for tint, tall in (("#e8741e", 420), ("#f7a823", 300), ("#fdd663", 170)):
        for x in range(-40, 780, 60):
            peak = 720 - tall * rng.uniform(0.6, 1.1)
            flame = np.array(
                [
                    [x - 55, 720],
                    [x - 40, (peak + 720) / 2],
                    [x + rng.uniform(-20, 20), peak],
                    [x + 44, (peak + 720) / 2],
                    [x + 55, 720],
                ]
            )
            cv2.fillPoly(picture, [flame.astype(np.int32)], colour(tint).tolist(), cv2.LINE_AA)
        if tall == 300:
            _person(
                picture,
                31,
                State(smile=0.6, gaze_x=0.1, light_y=0.6, light=0.2),
                make_placement(LARGEST, 0.04, 330, 360),
                6,
                0,
            )
            _rectangle(picture, 110, 540, 610, 562, "#8a5a3c")
            _rectangle(picture, 130, 562, 590, 720, "#6e452c")
            cv2.ellipse(picture, (517, 512), (16, 14), 0, 0, 360, colour("#e9ecf2").tolist(), 6, cv2.LINE_AA)
            _rectangle(picture, 470, 484, 512, 540, "#e9ecf2")
    return picture


MEMES: dict[str, Meme] = {
    "works-on-my-machine": Meme(1, "IT WORKS ON MY MACHINE", "SO WE DEPLOYED MY MACHINE", _works_on_my_machine),
    "on-mute": Meme(4, "LET ME SHARE MY SCREEN", "YOU ARE ON MUTE", _everyone_in_the_call),
    "paged": Meme(1, "3 A.M. THE PAGER", "MY LAMBDA SLEEPS. I DO NOT.", _paged_in_bed),
    "one-request": Meme(1, "64 SERVERS, ALWAYS ON", "ONE REQUEST A DAY", _one_request_per_day),
    "friday": Meme(3, "DEPLOY ON FRIDAY, THEY SAID", "IT WILL BE FINE, THEY SAID", _deploy_on_friday),
    "the-bill": Meme(1, "LEFT THE GPU ON ALL WEEKEND", "IT IS FINE", _this_is_the_bill),
}


def draw_demo_pictures(folder: Path) -> list[DemoPicture]:
    """Draw the demo's portraits (faces/NAME.png) and memes (memes/NAME.jpg) into `folder`; the same ones every time.

    Their people are of the reserve: no network was trained on them.
    """
    pictures = []
    for name, number, hair, tint in PORTRAITS:
        pictures.append(_save(folder / "faces" / f"{name}.png", _portrait(number, hair, tint), 1, ""))
    for name, meme in MEMES.items():
        picture = meme.paint()
        draw_caption(picture, meme.top, 0.03)
        draw_caption(picture, meme.bottom, 0.97)
        path = folder / "memes" / f"{name}.jpg"
        pictures.append(_save(path, picture, meme.faces, f"{meme.top} / {meme.bottom}"))
    return pictures


def _save(path: Path, picture: Bytes, faces: int, text: str) -> DemoPicture:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
    return DemoPicture(path.stem, path, faces, text)
