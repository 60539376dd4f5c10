"""`make signing-key`: gives a deployed stack a new certificate chain to sign its results with.

`python -m tools.signing_key --env NAME`: NAME is an environment in samconfig.toml. Before that a stack signs with a
chain derived from the random text that its template put into the same secret. What former chains signed is still
recognised. With --key, --certificates and --anchors the chain is one that your own authority issued; with --kms the key
is in KMS and never leaves it.
"""

from __future__ import annotations

import argparse
import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from layers.core.errors import ColdswapError, LabelFailed
from layers.media.c2pa_chain import MAX_SECRET_BYTES, ORGANISATION, Chain, certify, create_chain, parse
from layers.media.c2pa_label import Action, Ingredient, Provenance, Signer, read_manifest
from tools.stack import read_outputs, read_stack_name

_END = "-----END CERTIFICATE-----\n"


def renew(secrets: Any, arn: str, chain: Chain, forget: bool = False) -> Chain:
    """Put the chain into the secret, with the former chain's authorities among its own; returns what was written.

    With `forget` the former authorities are left out: whoever has their keys can no longer sign as this stack, and what
    they signed is no longer recognised.

    `secrets` is boto3's client of Secrets Manager. Raises LabelFailed, without changing anything, if the chain's own
    authorities do not vouch for its signatures; and botocore's errors.
    """
    try:
        former = "" if forget else parse(secrets.get_secret_value(SecretId=arn)["SecretString"]).anchors
    except LabelFailed:
        former = ""  # what was there never signed anything
    whole = replace(chain, anchors=_together(chain.anchors, former))
    if not can_sign(whole):
        raise LabelFailed("The authorities in --anchors do not vouch for signatures by this key and its certificates.")
    if len(whole.dump()) > MAX_SECRET_BYTES:
        raise LabelFailed("With all former authorities, the chain is too large for a secret.")
    secrets.put_secret_value(SecretId=arn, SecretString=whole.dump())
    return whole


def certify_kms_key(kms: Any, stack: str, organisation: str = ORGANISATION) -> Chain:
    """A new chain for the KMS key with the alias STACK-signing, the only one that the functions may use.

    `kms` is boto3's client. Raises LabelFailed if there is no such key, or one of another kind; and botocore's errors.
    """
    alias = f"alias/{stack}-signing"
    try:
        public_key = kms.get_public_key(KeyId=alias)
    except kms.exceptions.NotFoundException:
        raise LabelFailed(
            f"KMS has no key with the alias {alias}. docs/operations.md says how to create one."
        ) from None
    except kms.exceptions.UnsupportedOperationException:
        raise LabelFailed(f"{alias} is not a signing key: it must be ECC_NIST_P256, SIGN_VERIFY.") from None
    if (public_key.get("KeySpec"), public_key.get("KeyUsage")) != ("ECC_NIST_P256", "SIGN_VERIFY"):
        raise LabelFailed(
            f"{alias} is {public_key.get('KeySpec')}, {public_key.get('KeyUsage')}; it must be ECC_NIST_P256, "
            "SIGN_VERIFY."
        )
    return certify(public_key["PublicKey"], alias, organisation)


def read_anchors(secrets: Any, arn: str) -> str:
    """The certificates, in PEM, by which a stack's results are recognised. Raises LabelFailed and botocore's errors."""
    return parse(secrets.get_secret_value(SecretId=arn)["SecretString"]).anchors


def can_sign(chain: Chain) -> bool:
    """Whether a picture signed with this chain verifies against its own authorities."""
    pixel = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
        "0000000a4944415478da6360000000020001e527defc0000000049454e44ae426082"
    )
    story = Provenance([Action("c2pa.opened", ingredients=["a"])], [Ingredient("a", "parentOf", "a pixel")])
    try:
        signed = Signer(lambda: chain).sign_picture(pixel, "png", story)
    except LabelFailed:
        return False
    return read_manifest(io.BytesIO(signed), "image/png", chain.anchors).state == "trusted"


def _together(*pems: str) -> str:
    """The certificates of all PEMs, each once."""
    certificates = [part.strip() + "\n" + _END for pem in pems for part in pem.split(_END) if part.strip()]
    return "".join(dict.fromkeys(certificates))


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="make signing-key", description=__doc__)
    parser.add_argument("--env", default="default", help="an environment in samconfig.toml")
    parser.add_argument("--name", default=ORGANISATION, help="the signer's name, as readers show it")
    parser.add_argument("--key", type=Path, help="PEM of your own P-256 key, unencrypted")
    parser.add_argument("--certificates", type=Path, help="PEM of its certificate and the intermediate ones")
    parser.add_argument("--anchors", type=Path, help="PEM of the root")
    parser.add_argument("--kms", action="store_true", help="use the KMS key with the alias STACK-signing")
    parser.add_argument("--forget-former", action="store_true", help="stop recognising what former keys signed")
    options = parser.parse_args()
    own = [path for path in (options.key, options.certificates, options.anchors) if path]
    if len(own) not in (0, 3):
        parser.error("--key, --certificates and --anchors go together")
    if own and options.kms:
        parser.error("--kms and --key exclude each other")
    import boto3

    session, stack = boto3.session.Session(), read_stack_name(options.env)
    arn = read_outputs(session.client("cloudformation"), stack)["SigningKeyArn"]
    try:
        if options.kms:
            chain = certify_kms_key(session.client("kms"), stack, options.name)
        else:
            chain = Chain(*(path.read_text() for path in own)) if own else create_chain(options.name)
        chain = renew(session.client("secretsmanager"), arn, chain, options.forget_former)
    except ColdswapError as error:
        print(error.detail, file=sys.stderr)
        return 1
    print(f"Results will be signed with the new key within five minutes. To verify them, use:\n\n{chain.anchors}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
