"""Letters of captions: each is drawn, by a face that has it; what no face has is refused or told."""

from __future__ import annotations

import re
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.render import caption_drawing, captions, faces, font_files, scripts
from functions.video.render.typesetting import EM, PLAIN, Typesetting, check, find_undrawn, typeset
from functions.video.values import HEIGHT, WIDTH, VideoRequest
from layers.core.deadline import Deadline
from layers.core.errors import UnsupportedScript
from layers.media.ffmpeg import escape, run
from tests.support.step_context import step_context
from tests.unit.video.drawn_footage import Frames, frames
from tests.unit.video.fixtures import SETTINGS, artifacts, folder, soon, storage
from tests.unit.video.scripts import speak
from tools.large_fonts import package_file

__all__ = ["artifacts", "folder", "storage"]  # fixtures

# Two letters of each writing system, and of symbols and emoji.
SIGNS = {
    "Latn": "Ŵß",
    "Grek": "Ωλ",
    "Cyrl": "Жя",
    "Arab": "بم",
    "Armn": "Ժք",
    "Beng": "কম",
    "Deva": "कम",
    "Ethi": "ሀመ",
    "Geor": "გშ",
    "Gujr": "કમ",
    "Guru": "ਕਮ",
    "Hebr": "אש",
    "Knda": "ಕಮ",
    "Khmr": "កម",
    "Laoo": "ກມ",
    "Mlym": "കമ",
    "Mymr": "ကမ",
    "Orya": "କମ",
    "Sinh": "කම",
    "Taml": "கம",
    "Telu": "కమ",
    "Thai": "กม",
    "Hani": "海語",
    "Hira": "あむ",
    "Kana": "アム",
    "Hang": "한물",
    "Bopo": "ㄅㄇ",
    "symbols": "→✓",
    "stars": "★♥",
    "outlines": "⌂⎈",
    "emoji": "🎉🚀",
}
CELL = 90  # pixels


@pytest.fixture(autouse=True)
def large_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The large file as if it were fetched."""
    monkeypatch.setattr(faces.LargeFace, "path", package_file())


def write_faces(typesetting: Typesetting, folder: Path) -> Path:
    folder.mkdir()
    for name, letters in typesetting.letters:
        font_files.write_face(
            typesetting.style.face(name), letters, typesetting.family(name), typesetting.line, folder / name
        )
    return folder


def draw(document: str, fonts: Path, folder: Path, at: float = 0.0) -> Frames:
    """The frame of a document of captions over black, at that second; shape [height, width, 3]."""
    (folder / "drawing.ass").write_text(document, encoding="utf-8")
    picture = folder / "drawing.mp4"
    caption_filter = f"ass=filename={escape(folder / 'drawing.ass')}:fontsdir={escape(fonts)}"
    size = ["-f", "lavfi", "-i", f"color=black:s={WIDTH}x{HEIGHT}:d=60:r=10"]
    run(
        [*size, "-ss", str(at), "-vf", caption_filter, "-frames:v", "1", "-qp", "0", str(picture)],
        deadline=Deadline.after(60),
    )
    drawing: Frames = frames(picture)[0]
    return drawing


def test_two_letters_of_each_writing_system_are_drawn_and_differ(tmp_path: Path) -> None:
    signs = "".join(SIGNS.values())
    typesetting = typeset([signs])
    head = caption_drawing.render_ass((), 0, 1, typesetting=typesetting)
    events, cells = [], []
    for number, sign in enumerate(signs):
        x, y = number % 8 * CELL, number // 8 * CELL
        ((family, run_text),) = typesetting.runs(sign)
        events.append(
            f"Dialogue: 0,0:00:00.00,0:00:01.00,Words,,0,0,0,,{{\\an5\\pos({x + CELL // 2},{y + CELL // 2})\\fn{family}"
            f"\\bord0\\shad0}}{run_text}\n"
        )
        cells.append((slice(y, y + CELL), slice(x, x + CELL)))

    drawing = draw(head + "".join(events), write_faces(typesetting, tmp_path / "fonts"), tmp_path)

    shapes = {sign: drawing[cell].max(axis=2) > 128 for sign, cell in zip(signs, cells, strict=True)}
    assert SIGNS.keys() >= scripts.FACES_BY_SCRIPT.keys()
    assert [sign for sign, shape in shapes.items() if shape.sum() < 150] == []
    assert [pair for pair in combinations(signs, 2) if np.array_equal(shapes[pair[0]], shapes[pair[1]])] == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("བོད་སྐད", "Tibetan"),
        ("The word ᏣᎳᎩ is Cherokee.", "Cherokee"),
        ("ᠮᠣᠩᠭᠣᠯ", "Mongolian"),
        ("Here is \U0002a6de, a sign that no font has.", "U[+]2A6DE"),
    ],
)
def test_a_letter_that_no_face_has_is_refused_by_name(text: str, name: str) -> None:
    with pytest.raises(UnsupportedScript, match=name):
        check(text)


@pytest.mark.parametrize("signs", SIGNS.values())
def test_supported_letters_pass(signs: str) -> None:
    assert check(signs) == ()


def test_a_sign_that_no_face_has_is_left_out_and_told() -> None:
    text = "Great \U0001fbc5\ue000 news 🎉 we did it!"

    assert check(text) == find_undrawn(text.split()) == ("\U0001fbc5", "\ue000")
    assert "".join(letters for _, letters in typeset([text]).runs("\U0001fbc5\ue000news")) == "news"


def test_most_texts_need_roboto_alone_and_no_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "coverage", lambda face: pytest.fail(f"{face} was read"))

    assert typeset(["Çà et là, “naïve” — Größe,", "Ελλάδα", "Привет!", "5 % of 10 €… ™"]) is PLAIN


def test_letters_counted_as_roboto_s_are_in_its_file() -> None:
    with TTFont(faces.FACES["Roboto"].path) as font:
        codes = font.getBestCmap()

    assert [hex(code) for first, last in faces._IN_ROBOTO for code in range(first, last + 1) if code not in codes] == []


@pytest.mark.parametrize(
    ("text", "face"),
    [
        ("海洋覆盖了地球表面的百分之七十以上。", "SC"),
        ("海洋覆蓋了地球表面的百分之七十以上。", "TC"),
        ("佢哋喺海邊瞓咗覺。嗰度好靚。", "HK"),
        ("海は山よりも古い。", "JP"),
        ("바다는 山보다 오래되었다.", "KR"),
    ],
)
def test_han_signs_are_drawn_in_the_manner_of_the_text_s_language(text: str, face: str) -> None:
    assert scripts.han_face(text) == face


@pytest.mark.parametrize("cluster", ["👩‍🚀", "👍🏽", "🇯🇵", "❤️", "1️⃣", "क्षि", "ကြွ", "ខ្មែរ", "e\u0323\u0302", "بَّ"])
def test_a_sign_of_several_characters_is_drawn_by_one_face(cluster: str) -> None:
    assert len(list(typeset([f"{cluster} →"]).runs(cluster))) == 1


def test_punctuation_is_drawn_by_the_face_of_its_word() -> None:
    typesetting = typeset(["「海は」", "AWS,", "है।"])

    assert [[family.split()[1] for family, _ in typesetting.runs(word)] for word in ("「海は」", "AWS,", "है।")] == [
        ["JP"],
        ["Roboto"],
        ["Devanagari"],
    ]


@pytest.mark.full
def test_an_em_has_the_same_size_in_every_face(tmp_path: Path) -> None:
    typesetting = typeset(["Sea", "海", "সাগর", "ทะเล", "ပင်လယ်", "بحر", "🌊"])

    for path in write_faces(typesetting, tmp_path / "fonts").iterdir():
        with TTFont(path) as font:
            height = font["OS/2"].usWinAscent + font["OS/2"].usWinDescent
            assert typesetting.font_size * font["head"].unitsPerEm / height == pytest.approx(EM, abs=0.5), path.name
            assert path.stat().st_size < 20_000


@pytest.mark.full
def test_cutting_a_face_changes_no_letter_that_stays(tmp_path: Path) -> None:
    """HarfBuzz takes letters apart, and needs the parts, which are no letters of the text."""
    words = ["സ്സോടും", "កើមៅ", "น้ำ"]
    typesetting = typeset(words)
    cut, whole = write_faces(typesetting, tmp_path / "cut"), tmp_path / "whole"
    whole.mkdir()
    events = []
    for number, word in enumerate(words):
        ((family, run_text),) = typesetting.runs(word)
        name = family.split()[1]
        letters = "".join(map(chr, faces.coverage(faces.FACES[name])))
        font_files.write_face(faces.FACES[name], letters, family, typesetting.line, whole / name)
        place = f"\\an5\\pos(360,{100 + 200 * number})\\bord0\\shad0\\fn{family}"
        events.append(f"Dialogue: 0,0:00:00.00,0:00:01.00,Words,,0,0,0,,{{{place}}}{run_text}\n")
    document = caption_drawing.render_ass((), 0, 1, typesetting=typesetting) + "".join(events)

    drawings = [draw(document, fonts, tmp_path)[:600].max(axis=2) > 128 for fonts in (cut, whole)]

    around = drawings[1].copy()  # places are rounded, so strokes may be a pixel off
    for rows, columns in product((-1, 0, 1), repeat=2):
        around |= np.roll(drawings[1], (rows, columns), (0, 1))
    strayed = (drawings[0] & ~around).reshape(len(words), -1).sum(axis=1)
    assert dict(zip(words, strayed.tolist(), strict=True)) == dict.fromkeys(words, 0)


def test_the_hyphens_of_a_broken_word_have_a_face() -> None:
    """The script itself has none, and the face of its letters may have none either."""
    words = speak("\u0939" * 60)
    typesetting = typeset(word.text for word in captions.fit_lines(words))

    document = caption_drawing.render_ass(words, 0, 300, typesetting=typesetting)

    assert "-" in re.sub(r"{.*?}", "", document.split("Text\n")[-1])
    assert any("-" in letters for _, letters in typesetting.letters)


def test_faces_are_bold(tmp_path: Path) -> None:
    """A bold stroke of a Thai letter has at least a tenth of an em; the regular one has about 0.07."""
    typesetting = typeset(["ๅ"])
    write_faces(typesetting, tmp_path / "fonts")
    head = caption_drawing.render_ass((), 0, 1, typesetting=typesetting)
    event = "Dialogue: 0,0:00:00.00,0:00:01.00,Words,,0,0,0,,{\\an5\\pos(360,640)\\bord0\\shad0\\fscx400\\fscy400}ๅ\n"

    ink = draw(head + event, tmp_path / "fonts", tmp_path).max(axis=2) > 128

    rows = ink.sum(axis=1)
    assert np.median(rows[rows > 0]) > 0.1 * 4 * EM


@pytest.mark.parametrize("text", ["הים עתיק מאד AWS", "AWS البحر أقدم منها"])
def test_a_line_from_right_to_left_begins_at_the_right(text: str, tmp_path: Path) -> None:
    words = speak(text)
    typesetting = typeset(word.text for word in words)
    document = caption_drawing.render_ass(words, 0, 300, typesetting=typesetting)
    fonts = write_faces(typesetting, tmp_path / "fonts")

    first, second = (_highlighted(draw(document, fonts, tmp_path, word.start + 0.12)) for word in words[:2])

    assert first > second + 20


def _highlighted(drawing: Frames) -> float:
    """Where the spoken word is, in columns of its middle."""
    red, green, blue = (drawing[:, :, channel].astype(int) for channel in range(3))
    columns = np.flatnonzero(((red > 200) & (green > 170) & (blue < 110)).any(axis=0))
    return float(columns.mean())


def test_a_face_is_made_once_for_all_clips(artifacts: ArtifactStore, storage: FolderStorage, folder: Path) -> None:
    typesetting = typeset(["ทะเล", "AI"])
    context = step_context(storage, artifacts, folder, settings=SETTINGS, request=VideoRequest("", ""), deadline=soon())
    font_files.prepare(typesetting, context)
    assert list(folder.iterdir()) == []
    artifacts.written.clear()

    fonts = font_files.make(typesetting, folder / "fonts", context)

    assert artifacts.written == set()
    assert {path.stem for path in fonts.iterdir()} == {"Thai", "Roboto"}
    for path in fonts.iterdir():
        with TTFont(path) as font:
            assert "fvar" not in font
            assert font["name"].getDebugName(1) == typesetting.family(path.stem)
