"""Signed labels, judged by the library's own reader and by one written from the standards (c2pa_reader.py)."""

from __future__ import annotations

import io
import json
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import c2pa
import numpy as np
import pytest
from PIL import Image

from functions.swap.provenance import describe_swap
from functions.video.provenance import describe_poster, describe_video
from functions.video.values import Clip, Footage, VoiceIdentity
from layers.core.deadline import Deadline
from layers.core.errors import LabelFailed, StorageFull
from layers.media import c2pa_label
from layers.media.c2pa_chain import Chain, create_chain, derive_chain
from layers.media.c2pa_label import SYNTHETIC, Action, Ingredient, ManifestSummary, Provenance, Signer, read_manifest
from layers.media.encode import encode
from layers.media.ffmpeg import run
from layers.media.formats import PICTURE_FORMATS, PictureFormat
from layers.media.xmp_label import SOURCE_TYPE, label, read_label, read_mp4_label
from tests.unit.media import c2pa_reader
from tests.unit.media.test_encode import picture

OURS = derive_chain("0123456789abcdefghijklmnopqrstuvwxyz")
SWAP = describe_swap(2, 3, "demo", {"detector": "d" * 64, "embedder": "e" * 64, "swapper": "5" * 64})
TRAINED = {SOURCE_TYPE, SYNTHETIC}


def always(chain: Chain) -> Callable[[], Chain]:
    return lambda: chain


def labelled(format: PictureFormat) -> bytes:
    return label(encode(picture(120, 160), format, 90), format)


def sign(format: PictureFormat, chain: Chain = OURS, provenance: Provenance = SWAP) -> bytes:
    return Signer(always(chain)).sign_picture(labelled(format), format, provenance)


def verify(data: bytes, format: str, anchors: str = OURS.anchors) -> ManifestSummary:
    return read_manifest(io.BytesIO(data), f"image/{format}", anchors)


@pytest.fixture
def video(mp4: Path, tmp_path: Path) -> Path:
    """The same, signed."""
    path = tmp_path / "short.mp4"
    shutil.copy(mp4, path)
    Signer(always(OURS)).sign_video(path, describe_video(CLIPS, SPEAKER))
    return path


def clip(index: int, author: str, page: str) -> Clip:
    return Clip("k", index, 30, Footage(f"pexels:{index}", 9, page, author, f"{page}/who", (), "Pexels"), 0)


SPEAKER = VoiceIdentity("elevenlabs", "eleven_multilingual_v2", "mp3_44100_128")
CLIPS = [clip(1, "Bob", "https://p.example/2"), clip(0, "Ann", "https://p.example/1")]


@pytest.mark.parametrize("format", PICTURE_FORMATS)
def test_a_signed_picture_is_ours_to_us_valid_to_strangers_and_still_the_picture(format: PictureFormat) -> None:
    data = sign(format)

    assert verify(data, format).state == "trusted"
    assert verify(data, format, anchors="").state == "valid"
    assert verify(data, format, anchors=create_chain().anchors).state == "valid"
    with Image.open(io.BytesIO(labelled(format))) as before, Image.open(io.BytesIO(data)) as after:
        assert np.array_equal(np.asarray(before), np.asarray(after))
    assert read_label(data) == SOURCE_TYPE
    assert len(data) - len(labelled(format)) < 5000


@pytest.mark.parametrize("format", PICTURE_FORMATS)
def test_a_reader_of_the_standards_agrees(format: PictureFormat) -> None:
    manifest = c2pa_reader.read_manifest(sign(format))

    assert "gathered_assertions" not in manifest.claim, "what we did we say ourselves"
    opening, edit = manifest.actions
    assert opening["action"] == "c2pa.opened"
    assert edit["action"] == "c2pa.edited"
    assert edit["digitalSourceType"] == SOURCE_TYPE
    assert edit["description"] == "Faces replaced: 2 of 3."
    assert edit["parameters"]["coldswap.pack"] == "demo"
    assert edit["parameters"]["coldswap.models"]["swapper"] == "5" * 64
    assert {each["relationship"] for each in manifest.ingredients} == {"parentOf", "inputTo"}
    assert manifest.claim["claim_generator_info"]["name"] == "Coldswap"
    (certificate,) = manifest.certificates
    assert certificate.subject.rfc4514_string().startswith("CN=Coldswap signer")


@pytest.mark.parametrize("format", PICTURE_FORMATS)
def test_nothing_of_what_went_in_is_in_it(format: PictureFormat) -> None:
    manifest = c2pa_reader.read_manifest(sign(format))

    assert not [each for each in manifest.labels if "thumbnail" in each or "metadata" in each]
    assert b"\xff\xd8\xff" not in manifest.store
    assert b"PNG" not in manifest.store
    assert b"http" not in manifest.store.replace(SOURCE_TYPE.encode(), b"")


@pytest.mark.parametrize("format", PICTURE_FORMATS)
def test_any_later_change_is_seen(format: PictureFormat) -> None:
    data = sign(format)
    at = data.index(b"adobe:ns:meta")  # in the label
    pixels = len(data) - 700 if format != "webp" else len(labelled(format)) // 3

    for place in (at, pixels):
        changed = bytearray(data)
        changed[place] ^= 1
        summary = verify(bytes(changed), format)
        assert summary.state == "invalid"
        assert "assertion.dataHash.mismatch" in summary.problems


def test_a_label_written_after_signing_breaks_it() -> None:
    assert verify(label(sign("jpeg"), "jpeg"), "jpeg").state == "invalid"


def test_a_picture_without_a_swap_says_that_none_was_made() -> None:
    summary = verify(sign("png", provenance=describe_swap(0, 2, "demo", {})), "png")

    assert [each["action"] for each in summary.actions] == ["c2pa.opened", "c2pa.transcoded"]
    assert not TRAINED & {each.get("digitalSourceType") for each in summary.actions}


def test_a_signed_video_plays_the_same_and_says_where_its_parts_are_from(mp4: Path, video: Path) -> None:
    with video.open("rb") as file:
        summary = read_manifest(file, "video/mp4", OURS.anchors)

    assert summary.state == "trusted"
    assert [each["action"] for each in summary.actions] == ["c2pa.created", "c2pa.placed", "c2pa.placed"]
    assert summary.actions[2]["digitalSourceType"] == SYNTHETIC
    assert summary.actions[2]["softwareAgent"] == "elevenlabs"
    assert [(each["title"], each.get("informational_URI")) for each in summary.ingredients] == [
        ("Stock footage by Ann, Pexels", "https://p.example/1"),
        ("Stock footage by Bob, Pexels", "https://p.example/2"),
        ("A voice-over that no person spoke", None),
    ]
    assert read_mp4_label(video) == SOURCE_TYPE
    assert frames(video) == frames(mp4)
    assert list(video.parent.iterdir()) == [video, video.with_suffix(".md5")]


def frames(path: Path) -> str:
    """A digest of every packet, by ffmpeg."""
    out = path.with_suffix(".md5")
    run(["-i", str(path), "-c", "copy", "-f", "framemd5", str(out)], deadline=Deadline.after(60))
    return out.read_text()


def test_a_reader_of_the_standards_agrees_about_the_video(video: Path) -> None:
    manifest = c2pa_reader.read_manifest(video.read_bytes())

    assert "gathered_assertions" not in manifest.claim
    assert "c2pa.hash.bmff.v3" in manifest.labels
    assert not [each for each in manifest.labels if "thumbnail" in each]
    assert {each["informationalURI" if "informationalURI" in each else "relationship"] for each in manifest.ingredients}


@pytest.mark.parametrize("share", [0.3, 0.6, 0.999])
def test_any_later_change_of_a_video_is_seen(video: Path, share: float) -> None:
    data = bytearray(video.read_bytes())
    data[int(len(data) * share)] ^= 1

    assert read_manifest(io.BytesIO(data), "video/mp4", OURS.anchors).state == "invalid"


def test_a_remux_drops_the_signature_and_nobody_claims_otherwise(video: Path, tmp_path: Path) -> None:
    run(["-i", str(video), "-c", "copy", str(tmp_path / "again.mp4")], deadline=Deadline.after(60))

    with (tmp_path / "again.mp4").open("rb") as file:
        assert read_manifest(file, "video/mp4", OURS.anchors).state == "absent"


def test_a_video_that_has_no_room_for_its_copy_is_storage_full(
    mp4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "short.mp4"
    shutil.copy(mp4, path)
    before = path.read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))

    with pytest.raises(StorageFull):
        Signer(always(OURS)).sign_video(path, describe_poster())
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "chain",
    [
        replace(OURS, key=create_chain().key),
        replace(OURS, key="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        replace(OURS, certificates="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        replace(OURS, certificates=OURS.anchors),
        replace(OURS, key="", certificates=""),
    ],
    ids=["another's key", "no key", "no certificate", "the authority's certificate", "nothing"],
)
def test_what_cannot_be_signed_is_an_error_and_never_a_picture(chain: Chain, mp4: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelFailed) as raised:
        sign("jpeg", chain)
    assert "PRIVATE KEY" not in raised.value.detail
    path = tmp_path / "short.mp4"
    shutil.copy(mp4, path)
    with pytest.raises(LabelFailed):
        Signer(always(chain)).sign_video(path, describe_poster())
    assert list(tmp_path.iterdir()) == [path], "nothing half signed is left"
    assert path.read_bytes() == mp4.read_bytes()


def test_what_is_no_picture_cannot_be_signed() -> None:
    for data in (b"", b"no picture", b"\xff\xd8\xff"):
        with pytest.raises(LabelFailed):
            Signer(always(OURS)).sign_picture(data, "jpeg", SWAP)


def test_a_file_without_a_manifest_tells_nothing() -> None:
    for format in PICTURE_FORMATS:
        assert verify(labelled(format), format) == ManifestSummary(
            state="absent", actions=[], ingredients=[], problems=[]
        )


def test_a_stranger_may_tell_much_and_is_heard_in_part() -> None:
    many = [Action("c2pa.opened", "x" * 5000, ingredients=["a"])]
    many += [Action("c2pa.edited", f"{number} \u202e<script>") for number in range(200)]
    summary = verify(sign("png", provenance=Provenance(many, [Ingredient("a", "parentOf", "y" * 5000)])), "png")

    assert len(summary.actions) == 50
    assert max(len(json.dumps(each)) for each in [*summary.actions, *summary.ingredients]) < 1000


def test_a_manifest_that_is_only_named_by_its_url_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the library would: a file names a server, and whoever reads it connects there."""
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.5)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/manifest.c2pa"
        builder = c2pa.Builder.from_json(json.dumps(c2pa_label.build_manifest(SWAP)))
        builder.set_no_embed()
        builder.set_remote_url(url)
        info = c2pa.C2paSignerInfo(c2pa.C2paSigningAlg.ES256, OURS.certificates.encode(), OURS.key.encode(), None)
        out = io.BytesIO()
        builder.sign(c2pa.Signer.from_info(info), "image/jpeg", io.BytesIO(labelled("jpeg")), out)
        assert url.encode() in out.getvalue()

        summary = verify(out.getvalue(), "jpeg")

        assert summary.state in ("absent", "invalid")
        assert summary.actions == []
        with pytest.raises(TimeoutError):
            trap.accept()


def test_being_ready_needs_the_key_and_says_when_there_is_none() -> None:
    def broken() -> Chain:
        raise LabelFailed("no key")

    Signer(always(OURS)).prepare()
    with pytest.raises(LabelFailed, match="no key"):
        Signer(broken).prepare()
