"""The typeface that is in no image: looked for before speech is paid, fetched once, and checked."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from fontTools.ttLib import TTFont

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.context import StepContext
from functions.video.render import font_files, large_fonts
from functions.video.render.faces import FACES, LargeFace
from functions.video.render.large_fonts import cjk_file
from functions.video.render.typesetting import check, typeset
from functions.video.values import VideoRequest
from layers.core.deadline import Deadline
from layers.core.errors import FontsMissing, StorageFailed
from layers.core.storage import Head
from tests.support.step_context import step_context
from tests.unit.video.fixtures import SETTINGS, artifacts, folder, soon, storage
from tools.large_fonts import package_file

__all__ = ["artifacts", "folder", "storage"]  # fixtures

JAPANESE, THAI = "海は山よりも古い。", "ทะเล"


@pytest.fixture
def context(
    artifacts: ArtifactStore, storage: FolderStorage, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> StepContext:
    """A step in a new sandbox: its disk is empty, and it has looked for nothing yet."""
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    monkeypatch.setattr(large_fonts, "_verified", set())
    monkeypatch.setattr(large_fonts, "_present", set())
    settings = replace(SETTINGS, models_bucket="models")
    return step_context(storage, artifacts, folder, settings=settings, request=VideoRequest("", ""), deadline=soon())


def test_the_table_tells_the_pinned_package_s_file_and_its_letters() -> None:
    data = package_file().read_bytes()

    assert (package_file().name, hashlib.sha256(data).hexdigest(), len(data)) == (
        cjk_file().name,
        cjk_file().digest,
        cjk_file().size,
    )
    for face in FACES.values():
        if isinstance(face, LargeFace):
            with TTFont(package_file(), fontNumber=face.number, lazy=True) as font:
                assert face.letters() == frozenset(font.getBestCmap()), face.name


def test_scripts_are_checked_without_the_file(context: StepContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_fonts, "fetch", lambda *_: pytest.fail("it was fetched"))

    assert check(f"{JAPANESE} 한국어 漢字 {THAI}") == ()
    assert [name for name, _ in typeset([JAPANESE]).letters] == ["JP", "Roboto"]


def test_what_is_not_published_is_told_to_those_who_need_it_alone(context: StepContext, storage: FolderStorage) -> None:
    services = context.services
    with pytest.raises(FontsMissing, match="make fonts"):
        font_files.require(JAPANESE, None, services)
    with pytest.raises(FontsMissing, match="make fonts"):
        font_files.prepare(typeset([JAPANESE]), context)
    font_files.require(f"The sea. {THAI} 🎉", None, services)
    font_files.prepare(typeset([f"The sea. {THAI} 🎉"]), context)

    storage.write("models", cjk_file().key, b"half of it", "font/collection")
    with pytest.raises(FontsMissing):
        font_files.require(JAPANESE, None, services)


class CountingStorage(FolderStorage):
    """Counts what is looked for and fetched of the models bucket; `refusal` is the code of S3's answer."""

    looks = fetches = 0
    refusal = ""

    def head(self, bucket: str, key: str) -> Head | None:
        self.looks += bucket == "models"
        self.answer(bucket)
        return super().head(bucket, key)

    def download(self, bucket: str, key: str, path: Path, limit: int, deadline: Deadline) -> int:
        self.fetches += bucket == "models"
        self.answer(bucket)
        return super().download(bucket, key, path, limit, deadline)

    def answer(self, bucket: str) -> None:
        if self.refusal and bucket == "models":
            raise StorageFailed("Storage responded.") from ClientError({"Error": {"Code": self.refusal}}, "Get")


def with_storage(context: StepContext, root: Path) -> tuple[StepContext, CountingStorage]:
    storage = CountingStorage(root)
    artifacts = ArtifactStore(storage, SETTINGS.outputs_bucket)
    return replace(context, services=replace(context.services, storage=storage), artifacts=artifacts), storage


def test_it_is_fetched_once_for_a_sandbox_and_cut(context: StepContext, tmp_path: Path) -> None:
    context, storage = with_storage(context, tmp_path / "buckets")
    storage.upload("models", cjk_file().key, package_file(), "font/collection")
    typesetting = typeset([JAPANESE])

    for text in (JAPANESE, "山"):
        font_files.require(text, None, context.services)
    for _ in range(2):
        large_fonts.fetch(context.services, soon())
    fonts = font_files.make(typesetting, context.folder / "fonts", context)

    assert (storage.looks, storage.fetches) == (1, 1)
    with TTFont(fonts / "JP.font") as font:
        assert set(map(ord, "海は山よりも古い。")) <= set(font.getBestCmap())
    assert [path.name for path in Path(tempfile.gettempdir()).iterdir()] == [cjk_file().path.name]


def test_another_process_of_the_sandbox_uses_the_file_after_a_check(
    context: StepContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, storage = with_storage(context, tmp_path / "buckets")
    storage.upload("models", cjk_file().key, package_file(), "font/collection")
    cjk_file().path.write_bytes(b"cut off")
    large_fonts.fetch(context.services, soon())
    monkeypatch.setattr(large_fonts, "_verified", set())

    large_fonts.fetch(context.services, soon())

    assert storage.fetches == 1


def test_other_bytes_are_never_used(context: StepContext, storage: FolderStorage) -> None:
    storage.write("models", cjk_file().key, bytes(cjk_file().size), "font/collection")

    with pytest.raises(FontsMissing):
        large_fonts.fetch(context.services, soon())
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


@pytest.mark.parametrize(("code", "error"), [("403", FontsMissing), ("503", StorageFailed)])
def test_where_keys_must_not_be_listed_what_is_missing_is_forbidden(
    code: str, error: type[Exception], context: StepContext, tmp_path: Path
) -> None:
    context, storage = with_storage(context, tmp_path / "buckets")
    storage.refusal = code

    with pytest.raises(error):
        large_fonts.require(context.services)
    with pytest.raises(error):
        large_fonts.fetch(context.services, soon())


def test_another_file_is_another_input_of_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    before, other = typeset([JAPANESE]).digest("JP"), replace(cjk_file(), digest="0" * 64)

    monkeypatch.setattr(large_fonts, "cjk_file", lambda: other)

    assert typeset([JAPANESE]).digest("JP") != before
