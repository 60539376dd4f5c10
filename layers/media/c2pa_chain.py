"""The signer of results: an ES256 key, its certificate, and the authority that issued it.

The profile is C2PA's (Technical Specification 2.2, "X.509 Certificates"): a leaf beneath an authority, key usage
digitalSignature, extended key usages emailProtection (RFC 5280) and documentSigning (RFC 9336). Nobody but the operator
vouches for the authority, so a stranger's reader calls the signature valid and its signer untrusted.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from layers.core.errors import LabelFailed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.x509 import Certificate, Name

ORGANISATION = "Coldswap"
# Signatures carry no time stamp, so they are valid only as long as their certificate is.
VALID_FROM, VALID_UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
MAX_SECRET_BYTES = 65_536  # of a secret (Secrets Manager quotas)

_DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.36"  # id-kp-documentSigning


@dataclass(frozen=True)
class Chain:
    """A key and its certificates, in PEM: the leaf's key (PKCS 8), the certificates that go into files (the leaf's
    first), and those of the authorities.

    For a key in KMS `kms_key` is its alias, and `key` is empty. The authorities' certificates (`anchors`) decide which
    signatures are ours; those of former chains stay among them.
    """

    key: str = field(repr=False)
    certificates: str
    anchors: str
    kms_key: str = ""

    def dump(self) -> str:
        """The chain as JSON, as the secret holds it."""
        return json.dumps({name: value for name, value in asdict(self).items() if value})


def parse(secret: str) -> Chain:
    """Parse a secret: a Chain's JSON, or a long random text, from which a chain is derived.

    Raises LabelFailed if it is neither.
    """
    if not secret.lstrip().startswith("{"):
        return derive_chain(secret)
    try:
        fields = json.loads(secret)
        key, kms_key = str(fields.get("key", "")), str(fields.get("kms_key", ""))
        chain = Chain(key, str(fields["certificates"]), str(fields["anchors"]), kms_key)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise LabelFailed("The signing key's secret cannot be read. Make a new one: make signing-key.") from None
    has_key = bool(chain.kms_key) or "PRIVATE KEY-----" in chain.key
    if not has_key or "CERTIFICATE-----" not in chain.certificates:
        raise LabelFailed("The signing key's secret lacks its key or certificate. Make a new one: make signing-key.")
    return chain


def derive_chain(seed: str) -> Chain:
    """Derive the one chain that belongs to a random text of at least 32 characters: always and everywhere the same.

    So a stack whose template generated the text has one signer from the start, without anyone giving it a key. Raises
    LabelFailed if the text is too short to be a secret.
    """
    if len(seed) < 32:
        raise LabelFailed("The signing key's secret is too short. Make a new one: make signing-key.")
    return _build_chain(_derive_key(seed, "authority"), _derive_key(seed, "leaf"), ORGANISATION)


def create_chain(organisation: str = ORGANISATION) -> Chain:
    """Make a new chain from the system's random numbers; the authority's key is thrown away.

    `organisation` is the signer's name as readers show it.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    return _build_chain(ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1()), organisation)


def certify(public_key: bytes, kms_key: str, organisation: str = ORGANISATION) -> Chain:
    """Make a new chain for the key in KMS with that alias; the authority's key is thrown away.

    `public_key` is a SubjectPublicKeyInfo in DER, as KMS returns it. Raises LabelFailed if it is not on P-256.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        leaf = load_der_public_key(public_key)
    except ValueError:
        leaf = None
    if not isinstance(leaf, ec.EllipticCurvePublicKey) or not isinstance(leaf.curve, ec.SECP256R1):
        raise LabelFailed("The key in KMS cannot sign results: it must be of ECC_NIST_P256 for SIGN_VERIFY.")
    certificates, anchors = _issue_certificates(ec.generate_private_key(ec.SECP256R1()), leaf, organisation)
    return Chain("", certificates, anchors, kms_key)


def _derive_key(seed: str, use: str) -> EllipticCurvePrivateKey:
    """HKDF (RFC 5869) to 48 bytes, reduced modulo the order, which leaves a negligible bias (FIPS 186-5, A.2.1)."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    stretched = HKDF(SHA256(), 48, salt=None, info=f"coldswap c2pa {use}".encode()).derive(seed.encode())
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (FIPS 186-5)
    return ec.derive_private_key(int.from_bytes(stretched, "big") % (order - 1) + 1, ec.SECP256R1())


def _build_chain(authority: EllipticCurvePrivateKey, leaf: EllipticCurvePrivateKey, organisation: str) -> Chain:
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = leaf.private_bytes(encoding, form, serialization.NoEncryption()).decode()
    return Chain(key, *_issue_certificates(authority, leaf.public_key(), organisation))


def _issue_certificates(
    authority: EllipticCurvePrivateKey, leaf: EllipticCurvePublicKey, organisation: str
) -> tuple[str, str]:
    """The certificates of the leaf and of the authority, in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding

    public = authority.public_key()
    issuer = _build_name(organisation, "authority", public)
    root = _issue_certificate(issuer, public, issuer, authority, root=True)
    certificate = _issue_certificate(_build_name(organisation, "signer", leaf), leaf, issuer, authority, root=False)
    return certificate.public_bytes(Encoding.PEM).decode(), root.public_bytes(Encoding.PEM).decode()


def _build_name(organisation: str, role: str, key: EllipticCurvePublicKey) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{ORGANISATION} {role} {_key_digest(key).hex()[:8]}"),
        ]
    )


def _key_digest(key: EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    return hashlib.sha256(key.public_bytes(encoding, form)).digest()


def _issue_certificate(
    subject: Name, key: EllipticCurvePublicKey, issuer: Name, issuing: EllipticCurvePrivateKey, *, root: bool
) -> Certificate:
    """Issue a certificate: an authority's own (`root`), or a leaf's."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

    builder = (
        x509.CertificateBuilder(issuer, subject, key)
        .serial_number(int.from_bytes(_key_digest(key)[:16], "big") | 1)
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=root, path_length=0 if root else None), critical=True)
        .add_extension(
            x509.KeyUsage(not root, False, False, False, False, root, False, encipher_only=False, decipher_only=False),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.public_key()), critical=False)
    )
    if not root:
        uses = [ExtendedKeyUsageOID.EMAIL_PROTECTION, ObjectIdentifier(_DOCUMENT_SIGNING)]
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return builder.sign(issuing, SHA256(), ecdsa_deterministic=True)
