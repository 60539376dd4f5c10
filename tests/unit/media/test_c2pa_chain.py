"""The signer's chain against the certificate profile, as the cryptography library reads it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from layers.core.errors import LabelFailed
from layers.core.secrets import read_secret
from layers.media import c2pa_key
from layers.media.c2pa_chain import Chain, create_chain, derive_chain, parse
from layers.media.c2pa_key import signing_chain

SEED = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01"


@pytest.fixture(params=["derived", "made"])
def chain(request: pytest.FixtureRequest) -> Chain:
    return derive_chain(SEED) if request.param == "derived" else create_chain()


def certificates(chain: Chain) -> tuple[x509.Certificate, x509.Certificate]:
    """The leaf's and the authority's."""
    (leaf,) = x509.load_pem_x509_certificates(chain.certificates.encode())
    (root,) = x509.load_pem_x509_certificates(chain.anchors.encode())
    return leaf, root


def test_an_authority_issues_the_leaf_and_is_not_it(chain: Chain) -> None:
    leaf, root = certificates(chain)

    leaf.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert leaf.subject != leaf.issuer == root.subject
    assert leaf.public_key() != root.public_key()
    assert leaf.serial_number != root.serial_number
    key = load_pem_private_key(chain.key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == leaf.public_key()


def test_the_leaf_has_the_profile_of_a_signer(chain: Chain) -> None:
    leaf, root = certificates(chain)
    extensions = {each.oid.dotted_string: each for each in leaf.extensions}
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    subject = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value

    assert leaf.version is x509.Version.v3
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    # emailProtection and documentSigning, and never anyExtendedKeyUsage, which C2PA forbids
    assert {each.dotted_string for each in extended} == {"1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36"}
    assert issuer.key_identifier == subject.digest
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert root.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert len(extensions) == 5


def test_it_is_good_for_years(chain: Chain) -> None:
    for each in certificates(chain):
        assert each.not_valid_before_utc <= datetime.now(UTC)
        assert (each.not_valid_after_utc - datetime.now(UTC)).days > 5 * 365


def test_one_secret_gives_one_chain_and_another_another() -> None:
    assert derive_chain(SEED) == derive_chain(SEED)
    assert derive_chain(SEED).key != derive_chain(SEED[::-1]).key
    assert create_chain().key != create_chain().key


def test_the_name_that_readers_show_is_the_operators() -> None:
    leaf, _ = certificates(create_chain("Meme Works & Söhne"))
    (name,) = leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)

    assert name.value == "Meme Works & Söhne"


def test_a_chain_survives_its_secret_and_does_not_print_its_key(chain: Chain) -> None:
    assert parse(chain.dump()) == chain
    assert "PRIVATE KEY" not in repr(chain)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tiny",
        "{",
        "{}",
        '{"key": 1, "certificates": 2, "anchors": 3}',
        '{"key": "", "certificates": "", "anchors": ""}',
        "[" * 31,
        '{"a":' * 20_000,
        json.dumps({"key": "-----BEGIN PRIVATE KEY-----", "certificates": ""}),
    ],
)
def test_what_is_no_key_is_told_without_being_quoted(text: str) -> None:
    with pytest.raises(LabelFailed, match="make signing-key") as raised:
        parse(text)
    assert not text or text not in raised.value.detail


def test_without_a_configured_key_a_process_has_one_of_its_own_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []

    class Log:
        def warning(self, message: str) -> None:
            warnings.append(message)

    monkeypatch.setattr(c2pa_key, "logger", Log)
    c2pa_key._make_seed.cache_clear()
    assert signing_chain("") is signing_chain("")
    assert len(warnings) == 1


def test_a_configured_key_is_that_of_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    arns: list[str] = []

    def fake_secret(arn: str) -> str:
        arns.append(arn)
        return SEED

    monkeypatch.setattr("layers.core.secrets.read_secret", fake_secret)
    assert signing_chain("arn:a") == derive_chain(SEED)
    assert signing_chain("arn:a") is signing_chain("arn:a"), "it is not made again each time"
    assert set(arns) == {"arn:a"}
    assert read_secret is not fake_secret


def test_a_key_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a key.json"
    path.write_text(create_chain("Mine").dump())
    assert signing_chain(f"file:{path}") == parse(path.read_text())


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"short"])
def test_a_file_without_a_key_says_where_it_is_and_not_what_is_in_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "key.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LabelFailed) as raised:
        signing_chain(f"file:{path}")
    assert "key" in raised.value.detail
    assert "short" not in raised.value.detail.replace("too short", "")
