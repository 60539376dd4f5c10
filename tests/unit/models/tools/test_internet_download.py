"""What is fetched is what was pinned, whatever the servers and the line do; and nothing is fetched twice."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from layers.models.tools import internet_download as fetching
from layers.models.tools.catalogue import CATALOGUE, Catalogue, File, Source
from layers.models.tools.internet_download import FetchFailed, download_files
from tests.support.model_host import ModelHost, zip_files

SWAPPER, EMBEDDER, DETECTOR = "inswapper_128_fp16.onnx", "w600k_r50.onnx", "det_500m.onnx"
SIZE = 700_001  # bytes of the swapper's stand-in: more than two pieces


@dataclass(frozen=True)
class Downloads:
    upstream: ModelHost
    catalogue: Catalogue
    files: dict[str, Path]
    folder: Path  # to fetch to

    @property
    def swapper(self) -> File:
        """A file that is published as it is; its second place answers 404 here."""
        return self.catalogue.files("default")["swapper"]

    @property
    def embedder(self) -> File:
        """A member of a zip."""
        return self.catalogue.files("default")["embedder"]

    def holds(self, name: str) -> bool:
        return (self.folder / name).read_bytes() == self.files[name].read_bytes()

    def leftovers(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Downloads]:
    monkeypatch.setattr(fetching, "PAUSES_SECONDS", (0.0, 0.0))
    random = np.random.default_rng(0)
    folder, server = tmp_path / "files", tmp_path / "server"
    folder.mkdir()
    server.mkdir()
    files: dict[str, Path] = {}
    for name, size in ((SWAPPER, SIZE), (EMBEDDER, 300_000), (DETECTOR, 20_000), ("det_10g.onnx", 30_000)):
        files[name] = folder / name
        files[name].write_bytes(random.bytes(size))
    (server / SWAPPER).write_bytes(files[SWAPPER].read_bytes())
    zip_files(server / "buffalo_l.zip", {name: files[name] for name in ("det_10g.onnx", EMBEDDER)})
    zip_files(server / "buffalo_sc.zip", {DETECTOR: files[DETECTOR]})
    with ModelHost(server) as upstream:
        yield Downloads(upstream, upstream.catalogue(files), files, tmp_path / "fetched")


def test_a_pack_is_fetched_from_its_places(world: Downloads) -> None:
    reports = download_files(world.catalogue.files("default").values(), world.folder)
    assert all(world.holds(name) for name in (SWAPPER, EMBEDDER, DETECTOR))
    assert world.leftovers() == {SWAPPER, EMBEDDER, DETECTOR}
    assert all(each.downloaded for each in reports)


def test_what_is_there_is_not_fetched_again(world: Downloads) -> None:
    download_files(world.catalogue.files("default").values(), world.folder)
    world.upstream.requests.clear()
    again = download_files(world.catalogue.files("default").values(), world.folder)
    assert not world.upstream.requests
    assert not any(each.downloaded for each in again)


def test_what_is_there_but_damaged_is_fetched_again(world: Downloads) -> None:
    world.folder.mkdir()
    (world.folder / SWAPPER).write_bytes(bytes(SIZE))
    download_files([world.swapper], world.folder)
    assert world.holds(SWAPPER)


def test_two_files_of_one_zip_cost_one_download(world: Downloads) -> None:
    download_files(world.catalogue.files("large").values(), world.folder)
    assert len(world.upstream.requests_for("buffalo_l.zip")) == 1
    assert world.leftovers() == {SWAPPER, EMBEDDER, "det_10g.onnx"}


@pytest.mark.parametrize("name", [SWAPPER, "buffalo_l.zip"])
def test_a_line_that_breaks_costs_no_byte_twice(world: Downloads, name: str) -> None:
    for after in (1, 70_000, 5):
        world.upstream.fault("broken", match=f"/store/{name}", after=after)
    download_files([world.swapper, world.embedder], world.folder)
    assert world.holds(SWAPPER)
    assert world.holds(EMBEDDER)
    requests = [each for each in world.upstream.requests_for(name) if each.bytes_sent]
    size = SIZE if name == SWAPPER else (world.upstream._folder / name).stat().st_size
    assert sum(each.bytes_sent for each in requests) == size
    assert [each.range for each in requests[1:]] == [f"bytes={at}-" for at in (1, 70_001, 70_006)][: len(requests) - 1]


def test_what_broke_off_is_kept_for_the_next_call(world: Downloads) -> None:
    world.upstream.fault("broken", match=f"/store/{SWAPPER}", after=300_000)
    world.upstream.fault("status", times=None, status=503)
    with pytest.raises(FetchFailed, match="300000 bytes are kept"):
        download_files([world.swapper], world.folder)
    assert f"{SWAPPER}.part" in world.leftovers()
    assert SWAPPER not in world.leftovers()

    world.upstream.clear()
    world.upstream.requests.clear()
    download_files([world.swapper], world.folder)
    assert world.holds(SWAPPER)
    assert [each.bytes_sent for each in world.upstream.requests_for(SWAPPER)] == [SIZE - 300_000]
    assert world.leftovers() == {SWAPPER}


@pytest.mark.parametrize("kind", ["no_range", "elsewhere", "republished"])
def test_a_server_that_does_not_go_on_where_it_broke_costs_a_fresh_start(world: Downloads, kind: str) -> None:
    world.upstream.fault("broken", after=300_000)
    world.upstream.fault(kind)
    download_files([world.swapper], world.folder)
    assert world.holds(SWAPPER)
    assert world.leftovers() == {SWAPPER}


def test_two_versions_put_together_cost_a_fresh_start(world: Downloads) -> None:
    other = world.upstream._folder / SWAPPER
    right = other.read_bytes()
    other.write_bytes(bytes(SIZE))
    world.upstream.fault("broken", after=300_000)
    world.upstream.fault("status", times=None, status=503)
    with pytest.raises(FetchFailed):
        download_files([world.swapper], world.folder)
    other.write_bytes(right)  # of the same size, and so with the same ETag here
    world.upstream.clear()
    world.upstream.requests.clear()
    download_files([world.swapper], world.folder)
    assert world.holds(SWAPPER)
    assert [each.range for each in world.upstream.requests_for(SWAPPER)] == ["bytes=300000-", None]


def test_a_server_that_always_begins_anew_and_breaks_is_given_up(world: Downloads) -> None:
    for _ in range(20):
        world.upstream.fault("broken", after=300_000)
        world.upstream.fault("elsewhere")
    with pytest.raises(FetchFailed, match="cannot continue"):
        download_files([replace(world.swapper, sources=world.swapper.sources[:1])], world.folder)
    assert len(world.upstream.requests_for(SWAPPER)) < 15


def test_a_part_that_does_not_belong_to_the_file_costs_a_fresh_start(world: Downloads) -> None:
    world.folder.mkdir()
    (world.folder / f"{SWAPPER}.part").write_bytes(bytes(1000))
    download_files([world.swapper], world.folder)
    assert world.holds(SWAPPER)


@pytest.mark.parametrize("size", [SIZE, SIZE + 5])
def test_a_part_that_is_already_long_enough_is_judged_by_its_digest(world: Downloads, size: int) -> None:
    world.folder.mkdir()
    data = world.files[SWAPPER].read_bytes()
    (world.folder / f"{SWAPPER}.part").write_bytes((data + bytes(5))[:size])
    download_files([world.swapper], world.folder)
    assert world.holds(SWAPPER)
    assert sum(each.bytes_sent for each in world.upstream.requests_for(SWAPPER)) == (0 if size == SIZE else SIZE)


def test_another_file_is_refused_and_not_kept(world: Downloads) -> None:
    world.upstream.fault("garbage")
    with pytest.raises(FetchFailed, match="SHA-256"):
        download_files([replace(world.swapper, sources=world.swapper.sources[:1])], world.folder)
    assert not world.leftovers()


@pytest.mark.parametrize("seed", range(30))
def test_whatever_goes_wrong_there_is_the_right_file_or_none(world: Downloads, seed: int) -> None:
    random = np.random.default_rng(seed)
    kinds: dict[str, dict[str, int]] = {"broken": {"after": SIZE // 3}, "status": {"status": 503}, "drop": {}}
    kinds |= {"length": {"promised": SIZE // 2}, "html": {}, "no_range": {}, "elsewhere": {}, "garbage": {}}
    kinds |= {"republished": {}, "larger": {}, "missing": {}}
    for kind in random.choice(list(kinds), 6):
        world.upstream.fault(kind, match="", **kinds[kind])
    for _ in range(8):
        try:
            download_files([world.swapper], world.folder)
        except FetchFailed:
            assert SWAPPER not in world.leftovers()
        else:
            break
    assert world.holds(SWAPPER)
    assert world.leftovers() == {SWAPPER}


def test_more_bytes_than_pinned_are_not_taken(world: Downloads) -> None:
    world.upstream.fault("larger")
    with pytest.raises(FetchFailed, match="more than"):
        download_files([replace(world.swapper, sources=world.swapper.sources[:1])], world.folder)
    assert not world.leftovers()


def test_a_length_that_is_a_lie_does_no_harm(world: Downloads) -> None:
    world.upstream.fault("length", match="/store/", promised=SIZE - 10)
    download_files([world.swapper], world.folder)
    assert world.holds(SWAPPER)


def test_the_next_place_is_asked_where_the_first_has_nothing(world: Downloads) -> None:
    world.upstream.fault("missing", match="/CountFloyd/")
    download_files([world.swapper], world.folder)
    assert world.holds(SWAPPER)
    assert any("deep-live-cam" in each.path for each in world.upstream.requests)


def test_every_place_that_failed_is_named(world: Downloads) -> None:
    world.upstream.fault("missing", match="", times=None)
    with pytest.raises(FetchFailed, match=r"CountFloyd.*404.*deep-live-cam.*404"):
        download_files([world.swapper], world.folder)


def test_a_stalled_server_is_given_up(world: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT_SECONDS", 0.1)
    world.upstream.fault("hold", after=1000, match=f"/store/{SWAPPER}")
    download_files([world.swapper], world.folder)
    assert world.holds(SWAPPER)
    assert world.upstream.requests_for(SWAPPER)[1].range == "bytes=1000-"


def test_a_server_that_is_not_there_is_named(world: Downloads) -> None:
    nowhere = replace(world.swapper, sources=(Source("http://127.0.0.1:9/x.onnx"),))
    with pytest.raises(FetchFailed, match="refused"):
        download_files([nowhere], world.folder)


def test_a_full_disk_is_said_before_anything_is_written(world: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(world.folder.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1 << 10))
    with pytest.raises(FetchFailed, match="the disk has 0 MiB left"):
        download_files([world.swapper], world.folder)


def test_progress_is_told_to_the_end(world: Downloads) -> None:
    steps: list[tuple[str, int, int]] = []
    download_files([world.swapper], world.folder, lambda *each: steps.append(each))
    assert steps[-1] == (SWAPPER, SIZE, SIZE)
    assert [current for _, current, _ in steps] == sorted(current for _, current, _ in steps)


def _archive(world: Downloads, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(world.upstream._folder / "buffalo_l.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_a_member_in_a_folder_is_found_and_written_where_it_belongs(world: Downloads) -> None:
    _archive(world, {f"../../buffalo_l/{EMBEDDER}": world.files[EMBEDDER].read_bytes(), "../evil.onnx": b"x"})
    download_files([world.embedder], world.folder)
    assert world.holds(EMBEDDER)
    assert world.leftovers() == {EMBEDDER}
    assert not list(world.folder.parent.rglob("evil.onnx"))


def test_a_zip_without_the_right_member_is_refused_and_not_kept(world: Downloads) -> None:
    right = world.files[EMBEDDER].read_bytes()
    zips: list[tuple[dict[str, bytes], str]] = [
        ({"other.onnx": right}, "has 0 files"),
        ({f"a/{EMBEDDER}": right, f"b/{EMBEDDER}": right}, "has 2 files"),
        ({EMBEDDER: right + b"x"}, "bytes, not"),
        ({EMBEDDER: bytes(len(right))}, "SHA-256"),
    ]
    for members, why in zips:
        _archive(world, members)
        with pytest.raises(FetchFailed, match=why):
            download_files([world.embedder], world.folder)
        assert not world.leftovers()


@pytest.mark.parametrize("damage", [slice(40_000, 60_000), slice(-30, None), slice(0, 400_000)])
def test_a_damaged_zip_is_refused_and_not_kept(world: Downloads, damage: slice) -> None:
    path = world.upstream._folder / "buffalo_l.zip"
    data = bytearray(path.read_bytes())
    data[damage] = b"\xff" * len(data[damage])
    path.write_bytes(data)
    with pytest.raises(FetchFailed, match="zip"):
        download_files([world.embedder], world.folder)
    assert not world.leftovers()


def test_a_member_that_unpacks_to_more_than_it_says_is_stopped(world: Downloads) -> None:
    right = world.files[EMBEDDER].read_bytes()
    _archive(world, {EMBEDDER: right + bytes(50_000_000)})
    path = world.upstream._folder / "buffalo_l.zip"
    lie = path.read_bytes().replace((len(right) + 50_000_000).to_bytes(4, "little"), len(right).to_bytes(4, "little"))
    path.write_bytes(lie)
    with pytest.raises(FetchFailed):
        download_files([world.embedder], world.folder)
    assert not world.leftovers()


def test_the_real_catalogue_is_whole() -> None:
    for models in CATALOGUE.packs.values():
        assert set(models) == {"detector", "embedder", "swapper"}
        for file in models.values():
            assert len(file.sha256) == len(hashlib.sha256().hexdigest())
            assert int(file.sha256, 16)
            assert file.sources
            assert all(source.url.startswith("https://") for source in file.sources)
            assert "non-commercial" in file.licence.gist
            assert CATALOGUE.by_digest(file.sha256) == file
