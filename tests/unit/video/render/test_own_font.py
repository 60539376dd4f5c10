"""A typeface of the operator's own: checked, cut, and used for the letters that it has."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from fontTools.ttLib import TTCollection, TTFont

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.context import StepContext
from functions.video.render.faces import FACES
from functions.video.render.own_font import MOST_BYTES, OwnFace, load_own_face, read_own_face
from functions.video.render.typesetting import PLAIN, check, typeset
from functions.video.values import VideoRequest
from layers.core.errors import FontUnusable, StorageFailed, UnsupportedScript
from layers.core.operator_settings import OperatorSettings
from layers.core.storage import Head
from tests.support.step_context import step_context
from tests.unit.video.fixtures import SETTINGS, artifacts, folder, soon, storage

__all__ = ["artifacts", "folder", "storage"]  # fixtures

THAI = FACES["Thai"].path.read_bytes()


def altered(embedding: int = 0, letter: str = "", collection: bool = False) -> bytes:
    """The Thai face with other bits of embedding, as a collection, or with a Thai letter's shape as that letter."""
    font, file = TTFont(io.BytesIO(THAI)), io.BytesIO()
    font["OS/2"].fsType = embedding
    if letter:
        for table in font["cmap"].tables:
            table.cmap[ord(letter)] = table.cmap[ord("ก")]
    if collection:
        fonts = TTCollection()
        fonts.fonts = [font]
        fonts.save(file)
    else:
        font.save(file)
    return file.getvalue()


@pytest.fixture
def context(artifacts: ArtifactStore, storage: FolderStorage, folder: Path) -> StepContext:
    operator_settings = OperatorSettings(caption_font="Brand.ttf")
    settings = replace(SETTINGS, models_bucket="models", operator_settings=lambda: operator_settings)
    return step_context(storage, artifacts, folder, settings=settings, request=VideoRequest("", ""), deadline=soon())


def test_without_the_setting_nothing_is_read(context: StepContext) -> None:
    assert load_own_face(replace(context.services, settings=SETTINGS), soon()) is None


def test_it_draws_the_letters_that_it_has_and_others_have_the_rest() -> None:
    own = read_own_face(altered(letter="བ"), "Brand.ttf")
    typesetting = typeset(["ทะเล", "sea", "བ"], own)

    assert [family.split()[1] for word in ("ทะเล", "sea", "བ") for family, _ in typesetting.runs(word)] == [
        "Own",
        "Roboto",
        "Own",
    ]
    assert typesetting.font.startswith("Captions Own")
    assert check("བ", own) == ()
    with pytest.raises(UnsupportedScript, match="Tibetan"):
        check("བོ", own)


def test_a_plain_text_is_drawn_by_it_too() -> None:
    own = OwnFace("Own", "", "", "Brand.ttf", data=FACES["Sans"].path.read_bytes())

    assert typeset(["The sea."]) is PLAIN
    assert [name for name, _ in typeset(["The sea."], own).letters] == ["Own"]


def test_another_file_has_another_name() -> None:
    first, second = (typeset(["ทะเล"], read_own_face(data, "Brand.ttf")) for data in (THAI, altered(letter="བ")))

    assert first.font != second.font


@pytest.mark.parametrize("data", [THAI, altered(collection=True), altered(embedding=0x0008)])
def test_fonts_of_every_kind_are_taken(data: bytes) -> None:
    assert typeset(["ทะเล"], read_own_face(data, "Brand.ttf")).font.startswith("Captions Own")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no TrueType or OpenType"),
        (b"wOF2" + THAI, "no TrueType or OpenType"),
        (THAI[:2000], "cannot be read"),
        (THAI[:12] + bytes(len(THAI)), "cannot be read"),
        (b"ttcf" + bytes(100), "cannot be read"),
        (altered(embedding=0x0002), "to be embedded"),
        (altered(embedding=0x0104), "to be cut"),
    ],
)
def test_what_is_no_font_or_must_not_be_used_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FontUnusable, match=reason):
        read_own_face(data, "Brand.ttf")


def test_the_file_is_read_from_the_models_bucket_once(context: StepContext, storage: FolderStorage) -> None:
    storage.write("models", "fonts/Brand.ttf", THAI, "font/ttf")

    first, second = (load_own_face(context.services, soon()) for _ in range(2))

    assert first is second
    assert first
    assert first.file == "Brand.ttf"
    storage.write("models", "fonts/Brand.ttf", altered(letter="བ"), "font/ttf")
    assert load_own_face(context.services, soon()) != first


class ForbiddenStorage(FolderStorage):
    """S3's answer for what is missing to those who may not list keys."""

    code = "403"

    def head(self, bucket: str, key: str) -> Head | None:
        raise StorageFailed("Storage responded.") from ClientError({"Error": {"Code": self.code}}, "HeadObject")


def test_a_file_that_must_not_be_read_counts_as_missing(context: StepContext, tmp_path: Path) -> None:
    storage = ForbiddenStorage(tmp_path)
    services = replace(context.services, storage=storage)

    with pytest.raises(FontUnusable, match="no file"):
        load_own_face(services, soon())
    storage.code = "503"
    with pytest.raises(StorageFailed):
        load_own_face(services, soon())


def test_a_file_that_is_missing_or_too_large_is_told(context: StepContext, storage: FolderStorage) -> None:
    with pytest.raises(FontUnusable, match="no file fonts/Brand"):
        load_own_face(context.services, soon())
    storage.write("models", "fonts/Brand.ttf", THAI + bytes(MOST_BYTES), "font/ttf")
    with pytest.raises(FontUnusable, match="larger than 20 MiB"):
        load_own_face(context.services, soon())
