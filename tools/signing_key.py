"""`make signing-key`: gives a deployed stack a new chain to sign its results with.

`python -m tools.signing_key --env NAME`: NAME is an environment of samconfig.toml. Until this is done a stack signs
with a chain derived from the random text that its template put into the same secret. What former chains signed stays
known as the stack's own. With --key, --certificates and --anchors the chain is one that an authority of yours issued;
with --kms the key is one that lies in KMS and never leaves it.
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
from tools.stack import outputs, stack_name

_END = "-----END CERTIFICATE-----\n"


def renew(secrets: Any, arn: str, chain: Chain, forget: bool = False) -> Chain:
    """Put the chain into the secret, the authorities of the one that was there among its own; what is there now.

    With `forget` the former ones are left out: whoever has their keys no longer signs as this stack, and nothing that
    they signed is the stack's own any more.

    `secrets` is boto3's client of Secrets Manager. Raises LabelFailed, having changed nothing, where the chain does not
    sign what its own authorities vouch for; and botocore's errors.
    """
    try:
        former = "" if forget else parse(secrets.get_secret_value(SecretId=arn)["SecretString"]).anchors
    except LabelFailed:
        former = ""  # what was there never signed anything
    whole = replace(chain, anchors=_together(chain.anchors, former))
    if not signs(whole):
        raise LabelFailed("This chain signs nothing that its own authorities vouch for.")
    if len(whole.dump()) > MAX_SECRET_BYTES:
        raise LabelFailed("With all former authorities the chain is larger than a secret may be.")
    secrets.put_secret_value(SecretId=arn, SecretString=whole.dump())
    return whole


def in_kms(kms: Any, stack: str, organisation: str = ORGANISATION) -> Chain:
    """A new chain for the key that has the alias STACK-signing, by which alone the functions may sign.

    `kms` is boto3's client. Raises LabelFailed where there is none, or none of that kind; and botocore's errors.
    """
    alias = f"alias/{stack}-signing"
    try:
        known = kms.get_public_key(KeyId=alias)
    except kms.exceptions.NotFoundException:
        raise LabelFailed(f"There is no key in KMS with {alias}. docs/operations.md says how to make one.") from None
    except kms.exceptions.UnsupportedOperationException:
        raise LabelFailed(f"{alias} is no key that signs: it has to be ECC_NIST_P256, SIGN_VERIFY.") from None
    if (known.get("KeySpec"), known.get("KeyUsage")) != ("ECC_NIST_P256", "SIGN_VERIFY"):
        raise LabelFailed(
            f"{alias} is {known.get('KeySpec')}, {known.get('KeyUsage')}; ECC_NIST_P256, SIGN_VERIFY is needed."
        )
    return certify(known["PublicKey"], alias, organisation)


def anchors(secrets: Any, arn: str) -> str:
    """The certificates, in PEM, by which a stack's results are known. Raises LabelFailed, and botocore's errors."""
    return parse(secrets.get_secret_value(SecretId=arn)["SecretString"]).anchors


def signs(chain: Chain) -> bool:
    """Whether a picture that it signs is seen as its own."""
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
    """Every certificate once."""
    found = [part.strip() + "\n" + _END for pem in pems for part in pem.split(_END) if part.strip()]
    return "".join(dict.fromkeys(found))


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="make signing-key", description=__doc__)
    parser.add_argument("--env", default="default", help="an environment of samconfig.toml")
    parser.add_argument("--name", default=ORGANISATION, help="the signer's name as readers show it")
    parser.add_argument("--key", type=Path, help="PEM of a P-256 key of your own, not encrypted")
    parser.add_argument("--certificates", type=Path, help="PEM of its certificate and of those between it and the root")
    parser.add_argument("--anchors", type=Path, help="PEM of the root")
    parser.add_argument("--kms", action="store_true", help="by the key in KMS that has the alias STACK-signing")
    parser.add_argument("--forget-former", action="store_true", help="what former keys signed is no longer ours")
    given = parser.parse_args()
    own = [path for path in (given.key, given.certificates, given.anchors) if path]
    if len(own) not in (0, 3):
        parser.error("--key, --certificates and --anchors go together")
    if own and given.kms:
        parser.error("a key of your own does not lie in KMS")
    import boto3

    session, stack = boto3.session.Session(), stack_name(given.env)
    arn = outputs(session.client("cloudformation"), stack)["SigningKeyArn"]
    try:
        if given.kms:
            chain = in_kms(session.client("kms"), stack, given.name)
        else:
            chain = Chain(*(path.read_text() for path in own)) if own else create_chain(given.name)
        whole = renew(session.client("secretsmanager"), arn, chain, given.forget_former)
    except ColdswapError as error:
        print(error.detail, file=sys.stderr)
        return 1
    print(f"Results are signed with the new key within five minutes. Whoever checks them needs:\n\n{whole.anchors}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
