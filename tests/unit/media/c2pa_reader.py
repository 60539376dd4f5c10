"""A second reader of signed labels, written from the standards alone, so that the library does not judge itself.

C2PA Technical Specification 2.2 (where the manifest store lies, and what its hashes cover), ISO/IEC 19566-5 (JUMBF),
RFC 8949 (CBOR), RFC 9052 (COSE). It reads what our own files hold and nothing more.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

MP4_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


@dataclass(frozen=True)
class Box:
    """A JUMBF superbox: its label, the boxes in it, and the bytes that its hash covers."""

    label: str
    inner: list[Box]
    content: bytes
    hashed: bytes

    def find(self, label: str) -> Box:
        """The one of that label, at any depth."""
        matches = [each for each in self.inner if each.label == label]
        for each in self.inner:
            matches += each._all(label)
        (one,) = matches
        return one

    def _all(self, label: str) -> list[Box]:
        matches = [each for each in self.inner if each.label == label]
        for each in self.inner:
            matches += each._all(label)
        return matches


@dataclass(frozen=True)
class Manifest:
    """What a signed file says, after its signature, its assertions' hashes and the file's own were checked."""

    claim: dict[str, Any]
    actions: list[dict[str, Any]]
    ingredients: list[dict[str, Any]]
    certificates: list[x509.Certificate]
    labels: list[str]
    store: bytes


def read_manifest(data: bytes) -> Manifest:
    """The active manifest. Fails where anything does not fit."""
    store, _ = _store(data)
    (root,) = _boxes(store)
    manifest = root.inner[-1]
    claim_box = manifest.find("c2pa.claim.v2")
    claim = cbor(claim_box.content)
    certificates = _check(claim_box.content, cbor(manifest.find("c2pa.signature").content))
    assertions = manifest.find("c2pa.assertions").inner
    by_label = {each.label: each for each in assertions}
    assertions_listed = [*claim["created_assertions"], *claim.get("gathered_assertions", [])]
    assert {each["url"].rpartition("/")[2] for each in assertions_listed} == by_label.keys()
    for each in assertions_listed:
        assert hashlib.sha256(by_label[each["url"].rpartition("/")[2]].hashed).digest() == each["hash"]
    if data[4:8] != b"ftyp":
        _check_bytes(data, cbor(by_label["c2pa.hash.data"].content))
    return Manifest(
        claim=claim,
        actions=cbor(by_label["c2pa.actions.v2"].content)["actions"],
        ingredients=[cbor(each.content) for each in assertions if each.label.startswith("c2pa.ingredient")],
        certificates=certificates,
        labels=sorted(by_label),
        store=store,
    )


def _check_bytes(data: bytes, binding: dict[str, Any]) -> None:
    """The hash of the file without the manifest itself (c2pa.hash.data)."""
    digest, at = hashlib.sha256(), 0
    for gap in binding["exclusions"]:
        digest.update(data[at : gap["start"]])
        at = gap["start"] + gap["length"]
    digest.update(data[at:])
    assert digest.digest() == binding["hash"]
    assert sum(gap["length"] for gap in binding["exclusions"]) < 40_000


def _check(claim: bytes, signature: Any) -> list[x509.Certificate]:
    """The certificates of a COSE_Sign1 whose signature fits the claim (RFC 9052, section 4.4)."""
    protected, unprotected, _, value = signature
    header = cbor(protected)
    assert header[1] == -7, "ES256"
    chain = header.get(33) or unprotected[33]
    certificates = [x509.load_der_x509_certificate(each) for each in ([chain] if isinstance(chain, bytes) else chain)]
    sig_structure = b"\x84" + _text("Signature1") + _bytes(protected) + _bytes(b"") + _bytes(claim)
    key = certificates[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    r, s = int.from_bytes(value[:32], "big"), int.from_bytes(value[32:64], "big")
    key.verify(encode_dss_signature(r, s), sig_structure, ec.ECDSA(SHA256()))
    return certificates


def _store(data: bytes) -> tuple[bytes, int]:
    """The manifest store of a JPEG, PNG, WebP or MP4, and where it begins."""
    if data.startswith(b"\xff\xd8"):
        pieces: list[bytes] = []
        at = 2
        while data[at + 1] != 0xDA:
            (length,) = struct.unpack_from(">H", data, at + 2)
            body = data[at + 4 : at + 2 + length]
            if data[at + 1] == 0xEB and body[:2] == b"JP":
                # JP, instance, sequence; each but the first repeats the box's head.
                pieces.append(body[8:] if not pieces else body[16:])
            at += 2 + length
        return b"".join(pieces), data.index(b"\xff\xeb")
    if data.startswith(b"\x89PNG"):
        at = data.index(b"caBX")
        (length,) = struct.unpack_from(">I", data, at - 4)
        return data[at + 4 : at + 4 + length], at
    if data.startswith(b"RIFF"):
        at = data.index(b"C2PA")
        (length,) = struct.unpack_from("<I", data, at + 4)
        return data[at + 8 : at + 8 + length], at
    at = data.index(MP4_UUID)
    (length,) = struct.unpack_from(">I", data, at - 8)
    # uuid, version and flags, "manifest\0", the offset of a Merkle tree
    body = data[at + 16 : at - 8 + length]
    assert body[4:13] == b"manifest\0"
    return body[21:], at


def _boxes(data: bytes) -> list[Box]:
    boxes = []
    for kind, body in _raw(data):
        if kind != b"jumb":
            continue
        (_, description), *rest = _raw(body)
        label = description[17:].split(b"\0")[0].decode()
        content = next((inner for kind, inner in rest if kind in (b"cbor", b"json", b"bidb")), b"")
        boxes.append(Box(label, _boxes(body), content, body))
    return boxes


def _raw(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length < 8:
            return  # padding
        yield kind, data[at + 8 : at + length]
        at += length


def _head(major: int, count: int) -> bytes:
    if count < 24:
        return bytes([major << 5 | count])
    width, form = next((width, form) for width, form in ((1, 24), (2, 25), (4, 26)) if count < 1 << 8 * width)
    return bytes([major << 5 | form]) + count.to_bytes(width, "big")


def _bytes(value: bytes) -> bytes:
    return _head(2, len(value)) + value


def _text(value: str) -> bytes:
    return _head(3, len(value)) + value.encode()


def cbor(data: bytes) -> Any:
    """The first item; tags are left out."""
    return _item(data, 0)[0]


def _item(data: bytes, at: int) -> tuple[Any, int]:
    major, form = data[at] >> 5, data[at] & 31
    at += 1
    count = form
    if form >= 24:
        width = 1 << form - 24
        count, at = int.from_bytes(data[at : at + width], "big"), at + width
    if major == 0:
        return count, at
    if major == 1:
        return -1 - count, at
    if major in (2, 3):
        value = data[at : at + count]
        return (value if major == 2 else value.decode()), at + count
    if major == 6:
        return _item(data, at)
    if major == 7:
        return {20: False, 21: True}.get(form), at
    items = []
    for _ in range(count * (major - 3)):
        item, at = _item(data, at)
        items.append(item)
    return (items if major == 4 else dict(zip(items[::2], items[1::2], strict=True))), at
