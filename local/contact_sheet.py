"""The contact sheet: face, meme and result of every swap on one picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

PAPER, CARD, INK, PALE = "#f3f1ec", "#ffffff", "#22242a", "#85878f"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
GAP = 28  # pixels between cards, and around them
PAD = 16  # inside a card
FACE, PICTURE = 132, 300  # sides of the squares that a face and a picture fit into
LINE = 26  # height of the words
COLUMNS = 2


@dataclass(frozen=True)
class Card:
    """One swap: three picture files, and the words under them."""

    face: Path
    meme: Path
    result: Path
    title: str
    note: str


def draw_contact_sheet(cards: list[Card], strip: Image.Image | None = None) -> Image.Image:
    """Draw the cards in two columns, and a strip of frames below them, as an RGB picture."""
    width = PAD * 4 + FACE + 2 * PICTURE
    height = PAD * 2 + PICTURE + LINE
    rows = -(-len(cards) // COLUMNS)
    size = GAP + COLUMNS * (width + GAP), GAP + rows * (height + GAP)
    if strip is not None:
        strip = ImageOps.contain(strip, (size[0] - 2 * GAP, 10 * size[1]), Image.Resampling.LANCZOS)
    below = 0 if strip is None else strip.height + GAP
    paper = Image.new("RGB", (size[0], size[1] + below), PAPER)
    if strip is not None:
        paper.paste(strip, (GAP, size[1]))
    for number, card in enumerate(cards):
        row, column = divmod(number, COLUMNS)
        paper.paste(_draw(card, width, height), (GAP + column * (width + GAP), GAP + row * (height + GAP)))
    return paper


def _draw(card: Card, width: int, height: int) -> Image.Image:
    canvas = Image.new("RGB", (width, height), CARD)
    pen = ImageDraw.Draw(canvas)
    top = PAD
    face = ImageOps.fit(_open(card.face), (FACE, FACE), Image.Resampling.LANCZOS)
    round_mask = Image.new("L", (FACE * 4, FACE * 4), 0)
    ImageDraw.Draw(round_mask).ellipse((0, 0, FACE * 4 - 1, FACE * 4 - 1), fill=255)
    canvas.paste(face, (PAD, top + (PICTURE - FACE) // 2), round_mask.resize((FACE, FACE), Image.Resampling.LANCZOS))
    for number, path in enumerate((card.meme, card.result)):
        left = 2 * PAD + FACE + number * (PICTURE + PAD)
        picture = ImageOps.contain(_open(path), (PICTURE, PICTURE), Image.Resampling.LANCZOS)
        canvas.paste(picture, (left + (PICTURE - picture.width) // 2, top + (PICTURE - picture.height) // 2))
    baseline = height - PAD
    large, small = ImageFont.load_default(17), ImageFont.load_default(15)
    title = _shorten(card.title, large, width - FACE - 4 * PAD - small.getlength(card.note))
    pen.text((2 * PAD + FACE, baseline), title, INK, large, anchor="ls")
    pen.text((width - PAD, baseline), card.note, PALE, small, anchor="rs")
    pen.text((PAD + FACE // 2, baseline), _shorten(card.face.stem, large, FACE), INK, large, anchor="ms")
    return canvas


def _shorten(text: str, font: Font, width: float) -> str:
    """The text, its end replaced by dots if it would be wider than that many pixels."""
    if font.getlength(text) <= width:
        return text
    return next(
        (f"{text[:end]}…" for end in range(len(text) - 1, 0, -1) if font.getlength(f"{text[:end]}…") <= width), ""
    )


def _open(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return ImageOps.exif_transpose(picture).convert("RGB")
