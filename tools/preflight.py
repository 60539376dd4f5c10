"""What can be checked before a deployment begins: each check returns sentences that say what to do, or no sentence."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from tools.stack import MOST_LETTERS, list_bucket_names

CLIPS = 5  # of a video that are encoded at one time, functions/video/short_video.asl.yaml
NEW_ACCOUNT_MB = 3008
USUAL_CONCURRENCY = 1000  # docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
# docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
UNRESERVED = 100
ISSUER_SECONDS = 10.0
MOST_ISSUER_BYTES = 1 << 20
EMPTY = ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE")  # statuses of stacks in which nothing is
QUOTAS = "Service Quotas (AWS Lambda, Concurrent executions)"

Open = Callable[[str], bytes]

# Patterns of CloudFormation's reasons, and what to do about each.
ADVICE = (
    (
        r"MemorySize.*less than or equal to (\d+)",
        "This account's functions may have at most {0} MB until AWS raises that: deploy with MemorySize={0}, or ask "
        "AWS support for more.",
    ),
    (
        r"UnreservedConcurrentExecution below its minimum value of \[?(\d+)",
        "The account must keep {0} executions unreserved: set ReservedConcurrency to 0 in Mappings of template.yaml, "
        f"or request more in {QUOTAS}.",
    ),
    (
        r"(?i)invalid issuer",
        "API Gateway could not read the issuer's /.well-known/openid-configuration: check JwtIssuer, including a final "
        "slash.",
    ),
    (
        r"logs:(?:Create|Put|Update)\w+",
        "Whoever deploys needs logs:CreateLogDelivery, logs:PutResourcePolicy, logs:DescribeResourcePolicies and "
        "logs:UpdateLogDelivery, for the API's access log.",
    ),
    (
        r"(\S+) already exists",
        "Something with this name already exists ({0}): make destroy deletes what a stack of this name left; or give "
        "the stack another name in samconfig.toml.",
    ),
    (r"(?i)not authori[sz]ed to perform:? (\S+)", "Whoever deploys needs the permission {0}."),
)


def check_name(stack: str, region: str) -> list[str]:
    """Whether the stack's name can be part of its buckets' names."""
    problems = []
    if not re.fullmatch(r"[a-z][a-z0-9-]*", stack):
        problems.append(
            f"The stack's name {stack} becomes part of its buckets' names: it must begin with a letter and may contain "
            "only a-z, 0-9 and -. Change stack_name in samconfig.toml."
        )
    longest = max(list_bucket_names("", "0" * 12, region), key=len)
    most = MOST_LETTERS - len(longest)
    if len(stack) > most:
        problems.append(
            f"The stack's name {stack} has {len(stack)} characters; in {region} it may have {most}, so that "
            f"STACK{longest.replace('0' * 12, 'ACCOUNT')} fits into the {MOST_LETTERS} of a bucket's name. Change "
            "stack_name in samconfig.toml."
        )
    return problems


def check_status(status: str | None, command: str) -> list[str]:
    """Whether a stack in this status takes a deployment; None: there is no stack. `command` destroys it."""
    match status:
        case None | "REVIEW_IN_PROGRESS" | "ROLLBACK_COMPLETE":
            return []  # the first is made, the second taken over, the third deleted before
        case "UPDATE_ROLLBACK_FAILED":
            return [
                "The last update failed, and its rollback failed too. 'Continue update rollback' in CloudFormation's "
                f"console resumes it, and says what is missing; {command} deletes the stack in this state too."
            ]
        case _ if status.endswith("_IN_PROGRESS"):
            return [f"The stack is being changed ({status}). Wait until that has finished, then deploy again."]
        case "CREATE_FAILED" | "ROLLBACK_FAILED" | "DELETE_FAILED":
            return [f"The stack is {status} and cannot be deployed to. {command} deletes what exists of it."]
    return []


def check_leftovers(status: str | None, leftovers: list[str], command: str) -> list[str]:
    """Whether an earlier stack of the name left something that a new one cannot be created beside."""
    if status not in (None, *EMPTY) or not leftovers:
        return []
    return [
        f"An earlier stack of this name left {', '.join(leftovers)}. {command} deletes that and everything in it. To "
        "keep it, give the new stack another name in samconfig.toml."
    ]


def check_concurrency(limit: Mapping[str, int], reserved: int, deployed: int) -> list[str]:
    """Whether the account can reserve that much. `limit` is AccountLimit of Lambda's GetAccountSettings, `deployed` is
    what the stack has reserved already.
    """
    free = limit["UnreservedConcurrentExecutions"] + deployed - UNRESERVED
    if reserved <= max(free, 0):
        return []
    return [
        f"ReservedConcurrency is {reserved} in Mappings of template.yaml, which the account cannot reserve: of its "
        f"{limit['ConcurrentExecutions']} concurrent executions AWS keeps {UNRESERVED} unreserved, which leaves "
        f"{max(free, 0)}. Reserve less, or request more in {QUOTAS}."
    ]


def check_capabilities(capabilities: object) -> list[str]:
    """Whether samconfig.toml acknowledges what a template with a nested stack needs."""
    if "CAPABILITY_AUTO_EXPAND" in str(capabilities):
        return []
    return [
        "The template has a nested stack. Add CAPABILITY_AUTO_EXPAND to capabilities in samconfig.toml "
        '(capabilities = "CAPABILITY_IAM CAPABILITY_AUTO_EXPAND").'
    ]


def find_cautions(limit: Mapping[str, int], chosen: Mapping[str, str], largest_mb: int) -> list[str]:
    """Warnings of what may go wrong. `largest_mb` is the most memory that a function of the account has."""
    account, sentences = limit["ConcurrentExecutions"], []
    memory = int(chosen.get("MemorySize", 0))
    # No call of AWS tells the cap. Accounts that have it have few executions at one time too, and no larger function.
    if memory > NEW_ACCOUNT_MB >= largest_mb and account < USUAL_CONCURRENCY:
        sentences.append(
            f"MemorySize={memory}: this account is new to Lambda ({account} concurrent executions), and new accounts "
            f"often get {NEW_ACCOUNT_MB} MB at most. If the deployment fails because of that, use {NEW_ACCOUNT_MB}."
        )
    videos = int(chosen.get("MaxConcurrentTasks", 2))
    if videos * CLIPS > account:
        sentences.append(
            f"MaxConcurrentTasks={videos}: that many videos need {videos * CLIPS} concurrent executions, and the "
            f"account has {account}. They will wait for each other, and swaps for them. Request more in {QUOTAS}."
        )
    return sentences


def check_issuer(chosen: Mapping[str, str], read: Open) -> list[str]:
    """Whether API Gateway will accept the issuer: it reads the discovery document too. `read` may raise OSError."""
    if chosen.get("AuthMode") != "jwt":
        return []
    issuer = chosen.get("JwtIssuer", "")
    missing = [name for name in ("JwtIssuer", "JwtAudience") if not chosen.get(name)]
    if missing:
        return [f"AuthMode=jwt needs {' and '.join(missing)}: set them in parameter_overrides of samconfig.toml."]
    if urlsplit(issuer).scheme != "https":
        return [f"JwtIssuer={issuer} must begin with https://."]
    address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        document = json.loads(read(address))
        named = document["issuer"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [
            f"JwtIssuer: {address} is not a discovery document ({error}). API Gateway reads it too: check the issuer."
        ]
    if named != issuer:
        return [
            f"JwtIssuer={issuer}, but its discovery document says {named}. Use exactly that, including a final slash."
        ]
    return []


def read_url(address: str) -> bytes:
    """Fetch an https address, up to a megabyte. Raises OSError."""
    with urllib.request.urlopen(address, timeout=ISSUER_SECONDS) as answer:
        body: bytes = answer.read(MOST_ISSUER_BYTES)
        return body


def find_advice(reasons: list[str]) -> list[str]:
    """What to do about a failed stack, by CloudFormation's reasons; each sentence once."""
    sentences = []
    for reason in reasons:
        for pattern, sentence in ADVICE:
            if match := re.search(pattern, reason):
                sentences.append(sentence.format(*match.groups() or match.group()))
                break
    return list(dict.fromkeys(sentences))
