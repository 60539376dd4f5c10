"""Who signs: an ES256 key, its certificate, and the authority that issued it.

The profile is C2PA's (Technical Specification 2.2, "X.509 Certificates"): a leaf of its own beneath an authority, key
usage digitalSignature, extended key usages emailProtection (RFC 5280) and documentSigning (RFC 9336). Nobody but the
operator vouches for the authority, so a stranger's reader calls the signature valid and its signer untrusted.
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
# Nothing stamps a signature with its time, so it is good as long as its certificate is.
FROM, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
MOST_BYTES = 65_536  # of a secret (Secrets Manager quotas)

_DOCUMENT_SIGNING = "1.3.6.1.5.5.7.3.36"  # id-kp-documentSigning


@dataclass(frozen=True)
class Chain:
    """All in PEM: the leaf's key (PKCS 8), the certificates that go into files (the leaf first), the authorities.

    Where the key lies in KMS, `kms_key` is its alias, and `key` is empty.

    The authorities' certificates tell which signatures are ours; those of former chains stay among them.
    """

    key: str = field(repr=False)
    certificates: str
    anchors: str
    kms_key: str = ""

    def text(self) -> str:
        """As the secret holds it."""
        return json.dumps({name: value for name, value in asdict(self).items() if value})


def parse(secret: str) -> Chain:
    """The chain that a secret holds: a Chain's JSON, or any long random text, from which one is derived.

    Raises LabelFailed where it is neither.
    """
    if not secret.lstrip().startswith("{"):
        return derive_chain(secret)
    try:
        said = json.loads(secret)
        chain = Chain(
            str(said.get("key", "")), str(said["certificates"]), str(said["anchors"]), str(said.get("kms_key", ""))
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise LabelFailed("The signing key is not what `make signing-key` writes. Make a new one.") from None
    has_key = bool(chain.kms_key) or "PRIVATE KEY-----" in chain.key
    if not has_key or "CERTIFICATE-----" not in chain.certificates:
        raise LabelFailed("The signing key has no key or no certificate. Make a new one: make signing-key.")
    return chain


def derive_chain(seed: str) -> Chain:
    """The one chain of a random text of 32 characters or more: the same everywhere and always.

    So a stack whose template made the text has one signer from its first moment, though nobody ever sent it a key.
    Raises LabelFailed where the text is too short to be a secret.
    """
    if len(seed) < 32:
        raise LabelFailed("The signing key's secret is too short. Make a new one: make signing-key.")
    return _chain(_key(seed, "authority"), _key(seed, "leaf"), ORGANISATION)


def create_chain(organisation: str = ORGANISATION) -> Chain:
    """A new chain by the system's random numbers; the authority's key is forgotten here and now.

    `organisation` is the signer's name as readers show it.
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    return _chain(ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1()), organisation)


def certify(public_key: bytes, kms_key: str, organisation: str = ORGANISATION) -> Chain:
    """A new chain for a key that lies in KMS under that alias; the authority's key is forgotten here and now.

    `public_key` as KMS gives it, a SubjectPublicKeyInfo in DER. Raises LabelFailed where it is not one on P-256.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        leaf = load_der_public_key(public_key)
    except ValueError:
        leaf = None
    if not isinstance(leaf, ec.EllipticCurvePublicKey) or not isinstance(leaf.curve, ec.SECP256R1):
        raise LabelFailed("The key in KMS is not of the kind that signs (ECC_NIST_P256, SIGN_VERIFY).")
    certificates, anchors = _certificates(ec.generate_private_key(ec.SECP256R1()), leaf, organisation)
    return Chain("", certificates, anchors, kms_key)


def _key(seed: str, use: str) -> EllipticCurvePrivateKey:
    """HKDF (RFC 5869) to 48 bytes, taken modulo the order: without a bias worth the name (FIPS 186-5, A.2.1)."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    stretched = HKDF(SHA256(), 48, salt=None, info=f"coldswap c2pa {use}".encode()).derive(seed.encode())
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (FIPS 186-5)
    return ec.derive_private_key(int.from_bytes(stretched, "big") % (order - 1) + 1, ec.SECP256R1())


def _chain(authority: EllipticCurvePrivateKey, leaf: EllipticCurvePrivateKey, organisation: str) -> Chain:
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    key = leaf.private_bytes(encoding, form, serialization.NoEncryption()).decode()
    return Chain(key, *_certificates(authority, leaf.public_key(), organisation))


def _certificates(
    authority: EllipticCurvePrivateKey, leaf: EllipticCurvePublicKey, organisation: str
) -> tuple[str, str]:
    """The leaf's and the authority's, in PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding

    public = authority.public_key()
    issuer = _name(organisation, "authority", public)
    root = _certificate(issuer, public, issuer, authority, root=True)
    certificate = _certificate(_name(organisation, "signer", leaf), leaf, issuer, authority, root=False)
    return certificate.public_bytes(Encoding.PEM).decode(), root.public_bytes(Encoding.PEM).decode()


def _name(organisation: str, role: str, key: EllipticCurvePublicKey) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{ORGANISATION} {role} {_digest(key).hex()[:8]}"),
        ]
    )


def _digest(key: EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    return hashlib.sha256(key.public_bytes(encoding, form)).digest()


def _certificate(
    subject: Name, key: EllipticCurvePublicKey, issuer: Name, issuing: EllipticCurvePrivateKey, *, root: bool
) -> Certificate:
    """Of an authority, which issues its own, or of a leaf."""
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

    builder = (
        x509.CertificateBuilder(issuer, subject, key)
        .serial_number(int.from_bytes(_digest(key)[:16], "big") | 1)
        .not_valid_before(FROM)
        .not_valid_after(UNTIL)
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
