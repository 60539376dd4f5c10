"""Draw one face: 2.5-D points are turned, projected and filled, straight into the picture or the aligned crop.

Because the crop is rendered rather than resampled, keypoints and alignment are exact. Pictures are uint8 BGR [H, W, 3].
A placement is a float32 [2, 3] matrix from head units (see people.py) to pixels (see geometry.py).
"""

import math

import cv2
import numpy as np
from numpy.typing import ArrayLike

from local.demo_pack.canvas import COS, SIN, Bytes, Canvas, Floats, colour, palette, ribbon, smooth, vector
from local.demo_pack.geometry import eye_level, head_outline, mouth, nose_tip, on_face, place, turn
from local.demo_pack.people import Carrier, Identity, State, clean

SKIN = palette("#ffe6d2 #fbd6b4 #f0bf98 #dda87c #c0875e #98663f #724a32 #513426")
HAIR = palette("#1d191b #40291c #6b4426 #9b6834 #d4a458 #f0d38c #b44a22 #9a9a9f #e8e8ea #cf3f7e #3d72c8 #43a06a")
BROWS = palette("#1a1618 #4a2e1c #8a5a2a #d9a94e #b84618 #8e9096 #f2f0ec")
IRIS = palette("#5b2f12 #c98a1c #1f78d8 #2f9a4a #8d98a3 #7c46b8")
LIPS = palette("#c8807a #d2233c #e0559a #7a2350 #e8743c")
EYESHADOW = palette("#000000 #3a66d8 #8a3cc0 #1f9a86")
FRAMES = palette("#16161a #c01f2a #2048c0 #e0a010 #f4f4f4")
CLOTHES = palette("#35569c #c43c3c #3f8f58 #f2cc4c #5a4486 #2a2f3a #ecebf0 #ea7f36 #36aab8 #d070aa")
WHITE, BLACK = colour("#fdfdfb"), colour("#141013")


def skin(tone: float, rosiness: float) -> Floats:
    """float32 BGR skin colour; tone 0 is the lightest."""
    place = tone * (len(SKIN) - 1)
    first = min(int(place), len(SKIN) - 2)
    mixed = SKIN[first] + (SKIN[first + 1] - SKIN[first]) * (place - first)
    return np.asarray(np.clip(mixed + vector([-4, -5, 6]) * rosiness, 0, 255), np.float32)


class Painter:
    """Paints one person's parts, back to front, on a canvas."""

    def __init__(self, canvas: Canvas, identity: Identity, carrier: Carrier, state: State, placement: Floats) -> None:
        self.canvas, self.identity, self.carrier, self.state, self.placement = (
            canvas,
            identity,
            carrier,
            state,
            placement,
        )
        self.unit = float(np.hypot(placement[0, 0], placement[1, 0]))
        self.skin = skin(identity.tone, identity.rosiness)
        self.line = self.skin * np.float32(0.38)
        self.hair = HAIR[carrier.hair_colour]
        self.brow = BROWS[identity.brow_colour]
        self.level = eye_level(identity)

    def paint(self) -> None:
        """Draw everything."""
        self.back_hair()
        self.body()
        self.head()
        self.marks()
        self.beard()
        self.nose()
        self.mouth()
        for number, side in enumerate((-1, 1), start=1):
            self.eye(side, closed=1.0 if self.state.wink == number else self.state.blink)
            self.eyebrow(side)
        self.glasses()
        self.front_hair()

    def flat(self, points: ArrayLike, z: float) -> Floats:
        """Points [n, 2] of the plane at depth z, in pixels."""
        points = np.asarray(points, np.float32)
        return place(
            turn(np.concatenate([points, np.full((len(points), 1), z, np.float32)], 1), self.state), self.placement
        )

    def face(self, x: ArrayLike, y: ArrayLike, lift: float = 0.0) -> Floats:
        """Points on the face, in pixels."""
        return place(turn(on_face(x, y, lift), self.state), self.placement)

    def oval(self, x: float, y: float, width: float, height: float, lift: float = 0.0) -> Floats:
        """An ellipse on the face, in pixels; width and height are half axes."""
        return self.face(x + width * COS, y + height * SIN, lift)

    def outline(self, grow: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> Floats:
        """The head's outline, in pixels."""
        return place(turn(head_outline(self.carrier, grow) + vector([*shift, 0]), self.state), self.placement)

    def back_hair(self) -> None:
        """Hair behind the head: long, afro, bob, bun, pigtails."""
        style, width, crown, dark = (
            self.carrier.hair,
            self.carrier.width,
            self.carrier.crown,
            self.hair * np.float32(0.72),
        )
        if style in (2, 5):
            length, edge = (1.9 if style == 2 else 1.0), width + 0.2
            half = [
                (0.0, -crown - 0.24),
                (0.7 * edge, -crown - 0.1),
                (edge, -0.5),
                (edge + 0.08, 0.6 * length),
                (0.8 * edge, length),
            ]
            self.canvas.fill(smooth(self.flat(half + [(-x, y) for x, y in half[:0:-1]], -0.25)), dark)
        elif style == 4:
            wave = 1 + 0.035 * np.sin(11 * np.arctan2(SIN, COS))
            curls = np.stack([(width + 0.36) * COS * wave, -0.42 + (crown + 0.02) * SIN * wave], 1)
            self.canvas.fill(smooth(self.flat(curls, -0.15), 3), dark)
        elif style == 7:
            self.canvas.fill(self.flat(np.stack([0.36 * COS, -crown - 0.30 + 0.34 * SIN], 1), -0.2), dark)
        elif style == 9:
            for side in (-1, 1):
                tail = [
                    (side * (width - 0.1), -0.5),
                    (side * (width + 0.5), -0.55),
                    (side * (width + 0.55), 0.2),
                    (side * (width + 0.25), 0.75),
                ]
                self.canvas.fill(smooth(self.flat(tail, -0.2)), dark)

    def body(self) -> None:
        """Neck, shoulders and collar."""
        neck = skin(self.carrier.neck_tone, self.carrier.neck_rosiness)
        cloth = CLOTHES[self.carrier.clothes]
        self.canvas.fill(
            self.flat([(-0.42, 0.5), (0.42, 0.5), (0.46, 1.8), (-0.46, 1.8)], -0.2), neck * np.float32(0.88)
        )
        self.canvas.shade(self.outline(shift=(0.0, 0.14)), neck * np.float32(0.5), 0.45)
        dip = 1.55 if self.carrier.collar == 0 else 1.75
        half = [(0.0, dip), (0.5, 1.42), (1.5, 1.72), (1.95, 2.6), (2.0, 4.6)]
        self.canvas.fill(smooth(self.flat(half + [(-x, y) for x, y in half[:0:-1]], -0.2)), cloth)
        if self.carrier.collar == 2:
            for side in (-1, 1):
                flap = [(side * 0.5, 1.40), (0.0, 1.80), (side * 0.35, 2.10), (side * 0.78, 1.60)]
                self.canvas.fill(self.flat(flap, -0.15), cloth * np.float32(0.72))

    def head(self) -> None:
        """Ears and the head's disc with a soft shadow on the side away from the light."""
        width, ear = self.carrier.width, self.carrier.ear
        for side in (-1, 1):
            for offset, size, shadow in ((0.02, 1.0, 0.94), (0.05, 0.55, 0.74)):
                lobe = np.stack([side * (width + offset) + size * ear * 0.75 * COS, 0.06 + size * ear * 1.3 * SIN], 1)
                self.canvas.fill(self.flat(lobe, -0.12), self.skin * np.float32(shadow))
        outline = self.outline()
        self.canvas.fill(outline, self.skin)
        core = self.outline(-0.15, (-0.1 * self.state.light_x, -0.05))
        self.canvas.rim(outline, core, self.skin * np.float32(0.52), 0.34, 0.07 * self.unit)

    def marks(self) -> None:
        """Blush, wrinkles, freckles, a mole."""
        person, unit, dark = self.identity, self.unit, self.skin * np.float32(0.5)
        across = np.linspace(-1, 1, 9)
        for side in (-1, 1):
            if person.blush > 0:
                self.canvas.shade(
                    self.oval(side * 0.52, 0.36, 0.2, 0.14), colour("#f0584e"), 0.6 * person.blush, 0.05 * unit
                )
            if person.age > 0:
                fold = self.face(side * (0.25 + 0.16 * np.sin(0.8 + 0.8 * across)), 0.55 + 0.17 * across)
                bag = self.face(side * person.eye_gap + 0.15 * across, self.level + 0.26 + 0.05 * (1 - across**2))
                for crease in (fold, bag):
                    self.canvas.shade(ribbon(crease, 0.03 * unit), dark, 0.75 * person.age)
            if person.freckles > 0:
                for x, y in (
                    (0.24, 0.22),
                    (0.36, 0.16),
                    (0.44, 0.27),
                    (0.56, 0.20),
                    (0.32, 0.33),
                    (0.64, 0.32),
                    (0.50, 0.38),
                ):
                    self.canvas.shade(
                        self.oval(side * x, y, 0.026, 0.026), self.skin * np.float32(0.52), person.freckles
                    )
        if person.mole:
            x, y = ((0.46, 0.52), (-0.46, 0.52), (0.30, 0.46), (-0.62, 0.18))[person.mole - 1]
            self.canvas.fill(self.oval(x, y, 0.045, 0.045), self.skin * np.float32(0.28))

    def beard(self) -> None:
        """1 stubble, 2 moustache, 3 goatee, 4 full beard."""
        kind, width = self.identity.beard, self.carrier.width
        _, middle, _ = mouth(self.identity, self.state)
        if kind in (1, 4):
            outline = head_outline(self.carrier)
            jaw = outline[outline[:, 1] > 0.15] * vector([1, 1.0 if kind == 1 else 1.06, 1])
            jaw = jaw[np.argsort(jaw[:, 0])]
            x = np.linspace(0.97 * width, -0.97 * width, 21)
            rise = 1 - np.abs(x / width) ** 1.6
            cheeks = np.stack([x, 0.16 + 0.36 * rise, 0.12 + 0.45 * rise], 1)
            area = place(turn(np.concatenate([jaw, cheeks]).astype(np.float32), self.state), self.placement)
            if kind == 4:
                self.canvas.fill(area, self.brow)
            else:
                self.canvas.shade(area, self.brow * np.float32(0.7), 0.42, 0.03 * self.unit)
        if kind in (2, 4):
            x = np.linspace(-1, 1, 15)
            droop = 0.05 * x**2 - 0.02 * self.state.smile
            top = self.face(0.34 * x, middle - 0.19 + droop, 0.06)
            bottom = self.face(
                0.40 * x[::-1], middle - 0.05 + 0.09 * np.abs(x[::-1]) ** 1.5 - 0.02 * self.state.smile, 0.06
            )
            self.canvas.fill(np.concatenate([top, bottom]), self.brow)
        if kind == 3:
            self.canvas.fill(self.oval(0.0, 0.98 + self.identity.mouth_y, 0.24, 0.2, 0.05), self.brow)

    def nose(self) -> None:
        """0 button, 1 profile line, 2 wedge, 3 nostrils; the tip may be red."""
        person, unit, tip, wide = self.identity, self.unit, nose_tip(self.identity), self.identity.nose_width
        shadow = self.skin * np.float32(0.62)
        across = np.linspace(-1, 1, 11)
        if person.nose_shape == 0:
            self.canvas.shade(self.oval(0, tip + 0.01, wide, 0.8 * wide, 0.2), shadow, 0.9)
            self.canvas.shade(
                self.oval(-0.01, tip - 0.02, 0.85 * wide, 0.66 * wide, 0.22), self.skin * np.float32(1.03)
            )
        elif person.nose_shape == 1:
            down = np.linspace(0, 1, 8)
            bridge = self.face(0.02 + 0.06 * down, self.level + 0.02 + person.nose_length * down, 0.15)
            base = self.face(0.08 - (wide + 0.08) * down, tip + 0.02 + 0.03 * np.sin(3 * down), 0.16)
            self.canvas.fill(ribbon(np.concatenate([bridge, base]), 0.045 * unit), shadow)
        elif person.nose_shape == 2:
            x, y = (
                vector([-0.04, 0.05, wide, 0, -wide]),
                vector([self.level + 0.05, self.level + 0.05, tip, tip + 0.07, tip]),
            )
            self.canvas.shade(self.face(x, y, 0.18), shadow, 0.65)
            self.canvas.fill(
                ribbon(self.face(wide * across, tip + 0.06 * (1 - across**2), 0.2), 0.035 * unit),
                shadow * np.float32(0.8),
            )
        else:
            for side in (-1, 1):
                self.canvas.fill(
                    self.oval(side * wide * 0.55, tip + 0.02, 0.055, 0.035, 0.16), shadow * np.float32(0.6)
                )
            self.canvas.fill(
                ribbon(self.face(wide * across, tip - 0.06 + 0.13 * (1 - across**2), 0.2), 0.03 * unit), shadow
            )
        self.canvas.shade(
            self.oval(0, tip - 0.02, 0.8 * wide, 0.7 * wide, 0.2),
            colour("#ee3a34"),
            0.45 * person.nose_rosiness,
            0.03 * unit,
        )
        self.canvas.shade(
            self.oval(-0.03, tip - 0.08, 0.035, 0.045, 0.24), np.minimum(self.skin * np.float32(1.2) + 14, 255), 0.75
        )

    def mouth(self) -> None:
        """Lips, and behind them teeth and tongue when the mouth is open."""
        person, state = self.identity, self.state
        half_width, middle, corner = mouth(person, state)
        gape = 0.27 * state.opening
        n = np.linspace(-1, 1, 17)
        arch = 1 - n**2
        line = corner + (middle - corner) * arch + 0.06 * state.smile * arch
        bow = (
            person.lip_bow
            * 0.05
            * arch
            * (np.exp(-(((np.abs(n) - 0.28) / 0.22) ** 2)) - 0.9 * np.exp(-((n / 0.16) ** 2)))
        )
        upper, lower = line - 0.35 * gape * arch, line + 0.85 * gape * arch
        lip = LIPS[person.lip_colour] * np.float32(0.45 + 0.55 * self.skin.mean() / 215)
        x = half_width * n
        outer_top = self.face(x, upper - person.lip * arch**0.7 - bow)
        outer_bottom = self.face(x[::-1], (lower + 1.15 * person.lip * arch**0.7)[::-1])
        self.canvas.fill(np.concatenate([outer_top, outer_bottom]), lip)
        self.canvas.shade(
            self.oval(0, float(lower[8]) + 0.55 * person.lip, 0.35 * half_width, 0.22 * person.lip), WHITE, 0.28
        )
        if gape > 0.015:
            inner = np.concatenate([self.face(0.94 * x, upper), self.face(0.94 * x[::-1], lower[::-1])])
            self.canvas.fill(inner, colour("#4a141c"))
            teeth = upper + np.minimum(0.08, 0.5 * gape) * arch
            self.canvas.fill(
                np.concatenate([self.face(0.86 * x, upper + 0.004), self.face(0.86 * x[::-1], teeth[::-1])]), WHITE
            )
            if gape > 0.12:
                tongue = self.oval(0, middle + 0.85 * gape + 0.05 * state.smile, 0.6 * half_width, 0.1)
                self.canvas.shade(tongue, colour("#d8626a"), inside=inner)
        self.canvas.fill(ribbon(self.face(1.04 * x, upper), 0.035 * self.unit), self.line * np.float32(0.75))

    def eye(self, side: int, closed: float) -> None:
        """One eye; side -1 is the viewer's left, closed 0 open to 1 shut."""
        person, state, unit = self.identity, self.state, self.unit
        wide = person.eye_width
        high = wide * person.eye_height * (1 + 0.08 * state.raised_brows)
        n = np.linspace(-1, 1, 15)
        bulge = 0.5 * np.sqrt(np.clip(1 - n**2, 0, 1)) + 0.5 * (1 - n**2)
        slant = -side * person.eye_tilt * n * wide * 0.9
        below = high * bulge * (0.84 - 0.12 * max(0.0, state.smile)) * (1 - 0.25 * closed) + slant
        above = np.minimum(-high * bulge * (1 - 1.05 * closed) + slant, below) if closed < 0.6 else below - 0.012
        x, top, bottom = side * person.eye_gap + wide * n, self.level + above, self.level + below
        if person.eyeshadow:
            lid = np.concatenate([self.face(x, top - 0.13 * bulge - 0.01), self.face(x[::-1], top[::-1])])
            self.canvas.shade(lid, EYESHADOW[person.eyeshadow], 0.7, 0.015 * unit)
        if person.lid > 0.4 and closed < 0.8:
            self.canvas.shade(ribbon(self.face(x, top - 0.05 - 0.03 * person.lid), 0.026 * unit), self.line, 0.75)
        if closed < 0.85:
            eye = np.concatenate([self.face(x, top), self.face(x[::-1], bottom[::-1])])
            self.canvas.fill(eye, WHITE)
            self.canvas.shade(self.face(x, top + 0.02), self.line, 0.35, 0.02 * unit, inside=eye)
            radius = person.iris_size * min(high, 0.17)
            cx = side * person.eye_gap + 0.42 * wide * state.gaze_x
            cy = self.level + 0.35 * high * state.gaze_y
            iris = IRIS[person.iris]
            for share, shade in ((1.0, iris * np.float32(0.5)), (0.86, iris), (0.44, BLACK)):
                self.canvas.shade(self.oval(cx, cy, share * radius, share * radius), shade, inside=eye)
            for dx, dy, share in ((-0.32, -0.36, 0.26), (0.34, 0.36, 0.13)):
                self.canvas.shade(
                    self.oval(cx + dx * radius, cy + dy * radius, share * radius, share * radius), WHITE, inside=eye
                )
        lash = self.line * np.float32(0.45)
        self.canvas.fill(ribbon(self.face(x, top), (0.035 + 0.05 * person.lashes) * unit), lash)
        if person.lashes > 0.55:
            end = -1 if side > 0 else 0
            for reach, rise in ((1.32, 0.08), (1.2, 0.12)):
                tip = np.linspace(0.9, reach, 4)
                wing = self.face(side * (person.eye_gap + wide * tip), top[end] - rise * np.linspace(0, 1, 4))
                self.canvas.fill(ribbon(wing, 0.035 * unit), lash)

    def eyebrow(self, side: int) -> None:
        """One eyebrow, thicker towards the nose."""
        person, state = self.identity, self.state
        n = np.linspace(-1, 1, 13)
        y = self.level - 0.30 + person.brow_y - 0.07 * state.raised_brows - person.brow_arch * (1 - n**2)
        y = y - side * n * (person.brow_tilt - 0.06 * state.frown)
        half = 0.5 * (person.brow_thickness * (1 - 0.5 * side * n) * np.clip(4 * (1 - np.abs(n)), 0.35, 1) + 0.01)
        x = side * (person.eye_gap + 0.02) + person.brow_length * n
        self.canvas.fill(np.concatenate([self.face(x, y - half), self.face(x[::-1], (y + half)[::-1])]), self.brow)

    def glasses(self) -> None:
        """1 round, 2 square, 3 wide frames, with temples to the ears."""
        person = self.identity
        if not person.glasses:
            return
        frame, y = FRAMES[person.frame_colour], self.level + 0.03
        thick = 0.075 * self.unit
        power = 0.5 if person.glasses == 2 else 1.0
        cos, sin = np.sign(COS) * np.abs(COS) ** power, np.sign(SIN) * np.abs(SIN) ** power
        half_width, half_height = (0.35, 0.21) if person.glasses == 3 else (0.31, 0.28)
        half_width = min(half_width, person.eye_gap - 0.05)
        for side in (-1, 1):
            x = side * (person.eye_gap + 0.01)
            lens = self.face(x + (half_width - 0.04) * cos, y + (half_height - 0.04) * sin, 0.1)
            ring = self.face(x + (half_width + 0.035) * cos, y + (half_height + 0.035) * sin, 0.1)
            self.canvas.shade(lens, colour("#dcecf8"), 0.16)
            self.canvas.fill(ring, frame, lens)
            temple = vector(
                [[side * (person.eye_gap + half_width), y, 0.5], [side * (self.carrier.width + 0.02), y - 0.02, -0.05]]
            )
            self.canvas.fill(ribbon(place(turn(temple, self.state), self.placement), thick, 0.2), frame)
        inner = max(0.02, person.eye_gap - half_width)
        bridge = self.face(np.linspace(-inner, inner, 7), y - 0.04 * (1 - np.linspace(-1, 1, 7) ** 2), 0.14)
        self.canvas.fill(ribbon(bridge, thick, 0.2), frame)

    def front_hair(self) -> None:
        """Hair over the forehead: 0 short, 1 swept, 2 long, 3 spiky, 4 afro, 5 bob, 6 bald, 7 bun, 8 cap,
        9 pigtails."""
        style, width = self.carrier.hair, self.carrier.width
        middle_part = [(0.88, -0.12), (0.62, -0.58), (0.25, -0.80), (0.0, -0.92)]
        fringes: dict[int, list[tuple[float, float]]] = {
            0: [(0.90, -0.42), (0.70, -0.72), (0.30, -0.82), (0.0, -0.84)],
            2: middle_part,
            4: [(0.88, -0.46), (0.62, -0.74), (0.0, -0.80)],
            5: [(0.90, -0.2), (0.86, -0.46), (0.5, -0.52), (0.0, -0.54)],
            7: [(0.88, -0.42), (0.66, -0.78), (0.0, -0.90)],
            8: [(0.88, -0.46), (0.5, -0.60), (0.0, -0.64)],
            9: middle_part,
        }
        ends = {2: 0.25, 5: 0.35, 9: -0.15}.get(style, -0.25)
        if style == 6:
            return
        if style == 1:
            edge = [(0.88, -0.5), (0.5, -0.66), (0.1, -0.60), (-0.35, -0.50), (-0.66, -0.44), (-0.9, -0.28)]
        elif style == 3:
            edge = [(0.9 - (i + 0.5) * 1.8 / 9, -0.56 if i % 2 else -0.82) for i in range(9)]
        else:
            edge = fringes[style] + [(-x, y) for x, y in reversed(fringes[style][:-1])]
        fringe = [(width, ends, 0.2)] + [(x * width, y, 0.35) for x, y in edge] + [(-width, ends, 0.2)]
        if style != 3:
            fringe = [tuple(p) for p in _open_curve(vector(fringe))]
        angle = np.linspace(np.pi, 2 * np.pi, 21)
        outer = np.stack(
            [(width + 0.09) * np.cos(angle), -0.12 + (self.carrier.crown + 0.1) * np.sin(angle), np.zeros(21)], 1
        )
        shape = np.concatenate([outer, vector(fringe)]).astype(np.float32)
        cloth = CLOTHES[self.carrier.clothes]
        self.canvas.fill(place(turn(shape, self.state), self.placement), cloth if style == 8 else self.hair)
        if style == 8:
            peak = [
                (-0.85, -0.58, 0.4),
                (0, -0.74, 0.75),
                (0.85, -0.58, 0.4),
                (0.6, -0.46, 0.9),
                (0, -0.52, 1.1),
                (-0.6, -0.46, 0.9),
            ]
            self.canvas.fill(smooth(place(turn(vector(peak), self.state), self.placement)), cloth * np.float32(0.7))
        shine = np.linspace(-0.75, 0.05, 9) + 0.5 * self.carrier.highlight
        y = -0.80 * self.carrier.crown - 0.12 * (1 - np.linspace(-1, 1, 9) ** 2)
        bright = np.minimum((cloth if style == 8 else self.hair) * np.float32(1.25) + 24, 255)
        self.canvas.shade(ribbon(self.flat(np.stack([0.8 * shine, y], 1), 0.15), 0.1 * self.unit), bright, 0.5)


def _open_curve(points: Floats, steps: int = 4) -> Floats:
    """Catmull-Rom curve [m, k] through the points [n, k] with loose ends."""
    return smooth(np.concatenate([points[:1], points, points[-1:]]), steps)[steps : -2 * steps + 1]


def background(state: State, height: int, width: int) -> Bytes:
    """uint8 BGR: a gradient with a few shapes, from the state's seed."""
    rng = np.random.default_rng(state.background)
    first, last, angle = rng.uniform(50, 245, 3), rng.uniform(50, 245, 3), rng.uniform(0, 2 * np.pi)
    x = (np.arange(width, dtype=np.float32) / width - 0.5) * np.float32(math.cos(angle))
    y = (np.arange(height, dtype=np.float32) / height - 0.5) * np.float32(math.sin(angle))
    t = np.clip(0.5 + x[None, :] + y[:, None], 0, 1)[..., None]
    picture: Bytes = (first.astype(np.float32) * (1 - t) + last.astype(np.float32) * t).astype(np.uint8)
    for _ in range(rng.integers(0, 4)):
        bgr = rng.uniform(30, 245, 3).tolist()
        centre, size = rng.uniform(-0.1, 1.1, 2) * [width, height], rng.uniform(0.05, 0.35) * width
        if rng.random() < 0.5:
            cv2.circle(picture, (int(centre[0]), int(centre[1])), int(size), bgr, -1, cv2.LINE_AA)
        else:
            cv2.fillPoly(picture, [(centre + rng.normal(size=(4, 2)) * size).astype(np.int32)], bgr, cv2.LINE_AA)
    return picture


def draw(
    identity: Identity,
    carrier: Carrier,
    state: State,
    placement: Floats,
    shape: tuple[int, int],
    onto: Bytes | None = None,
) -> Bytes:
    """Return uint8 BGR [height, width, 3]: the person on a background drawn from the state, or on `onto`."""
    height, width = shape
    canvas = Canvas(height, width)
    Painter(canvas, identity, carrier, state, placement).paint()
    foreground = canvas.pixels[..., :3] * _light(state, placement, height, width)
    behind = background(state, height, width) if onto is None else onto
    picture = vector(foreground + behind * (1 - canvas.pixels[..., 3:].astype(np.float32) / 255))
    if state.blur > 0:
        picture = vector(cv2.GaussianBlur(picture, (0, 0), state.blur * min(shape) / 128))
    if state.noise > 0:
        grain = np.random.default_rng(state.background).normal(0, state.noise, picture.shape)
        picture = picture + grain.astype(np.float32)
    return np.asarray(np.clip(picture + 0.5, 0, 255), np.uint8)


def _light(state: State, placement: Floats, height: int, width: int) -> Floats:
    """Factors [H, W, 3]: brightness, a ramp across the face along (light_x, light_y), and the tint."""
    reach = 1.1 * float(np.hypot(placement[0, 0], placement[1, 0])) * (math.hypot(state.light_x, state.light_y) + 1e-6)
    x = (np.arange(width, dtype=np.float32) - placement[0, 2]) * np.float32(state.light_x / reach)
    y = (np.arange(height, dtype=np.float32) - placement[1, 2]) * np.float32(state.light_y / reach)
    ramp = state.brightness * (1 + state.light * np.clip(x[None, :] + y[:, None], -1, 1))
    return np.asarray(ramp[..., None] * (1 + vector(state.tint)), np.float32)


def paste(picture: Bytes, person: Identity, carrier: Carrier, state: State, placement: Floats) -> None:
    """Draw a person into a picture, in place; only the part around them is touched."""
    reach = 5 * float(np.hypot(placement[0, 0], placement[1, 0]))
    height, width = picture.shape[:2]
    x0, y0 = (int(max(0, v - reach)) for v in placement[:, 2])
    x1, y1 = (int(min(end, v + reach)) for end, v in zip((width, height), placement[:, 2], strict=True))
    if x1 > x0 and y1 > y0:
        inner = placement - vector([[0, 0, x0], [0, 0, y0]])
        picture[y0:y1, x0:x1] = draw(person, carrier, clean(state), inner, (y1 - y0, x1 - x0), picture[y0:y1, x0:x1])
