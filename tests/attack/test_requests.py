"""Requests that are deep, huge, doubled or crooked: JSON, headers, names of files, keys in S3, identifiers.

Each is answered with an error of the family or does what it says; none is a fault of ours, none is quoted back whole.
"""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any
from urllib.parse import quote_plus

import pytest

from functions.swap.entry.schemas import TaskBody, parse_task
from layers.core.errors import ColdswapError, InvalidRequest, NotFound, RefusedUrl, problem
from layers.core.ids import creation_time
from layers.core.storage import parse_s3_uri
from layers.models.runtime.manifest import Manifest, Pointer
from tests.unit.swap.entry_clients import HttpResult, http, invoke, upload_event
from tests.unit.swap.fake_stack import MODELS, OUTPUTS, UPLOADS, FakeSwapStack, drawing, encode

MEME = f"s3://{UPLOADS}/requests/1/meme"
DEEP = 100_000
SMALL = encode(drawing(width=160, height=160))

# Bodies that a parser of JSON chokes on, or reads in another way than the next one.
BODIES: dict[str, str | bytes] = {
    "nothing": "",
    "blank": " ",
    "null": "null",
    "true": "true",
    "number": "0",
    "text": '"meme"',
    "list": "[]",
    "empty": "{}",
    "deep-list": "[" * DEEP,
    "deep-list-closed": "[" * DEEP + "]" * DEEP,
    "deep-object": '{"meme":' * DEEP,
    "deep-object-closed": '{"meme":' * DEEP + "1" + "}" * DEEP,
    "deep-inside": '{"meme":' + "[" * 900 + "]" * 900 + "}",
    "deep-faces": '{"meme": "a", "faces": ' + "[" * 900 + "]" * 900 + "}",
    "long-number": '{"meme": "a", "quality": ' + "9" * 100_000 + "}",
    "long-fraction": '{"meme": "a", "quality": 0.' + "9" * 100_000 + "}",
    "huge-exponent": '{"meme": "a", "quality": 1e999999}',
    "not-a-number": '{"meme": "a", "quality": NaN}',
    "infinity": '{"meme": "a", "quality": -Infinity}',
    "many-keys": "{" + ",".join(f'"k{n}": {n}' for n in range(50_000)) + "}",
    "many-faces": '{"meme": "a", "faces": [' + ",".join(["1"] * 200_000) + "]}",
    "same-faces": '{"meme": "' + MEME + '", "faces": [' + ",".join(["0"] * 50_000) + "]}",
    "huge-face": '{"meme": "' + MEME + '", "faces": [' + "9" * 4000 + "]}",
    "negative-face": '{"meme": "' + MEME + '", "faces": [-1]}',
    "fraction-of-a-face": '{"meme": "' + MEME + '", "faces": [0.5]}',
    "face-by-truth": '{"meme": "' + MEME + '", "faces": [true]}',
    "doubled": '{"meme": "https://a.test/", "meme": "file:///etc/passwd"}',
    "doubled-otherwise": '{"meme": "file:///etc/passwd", "meme": "s3://' + MODELS + '/../x"}',
    "escaped-key": '{"\\u006deme": "file:///etc/passwd"}',
    "case": '{"Meme": "a"}',
    "prototype": '{"meme": "a", "__proto__": {"admin": true}}',
    "class": '{"meme": "a", "__class__": "x"}',
    "unknown": '{"meme": "a", "caller": "arn:aws:iam::1:root"}',
    "comment": '{"meme": "a" /* hello */}',
    "trailing-comma": '{"meme": "a",}',
    "single-quotes": "{'meme': 'a'}",
    "two-documents": '{"meme": "a"}{"meme": "b"}',
    "byte-order-mark": '\ufeff{"meme": "a"}',
    "raw-newline": '{"meme": "a\nb"}',
    "raw-null": '{"meme": "a\0b"}',
    "null-inside": '{"meme": "a\\u0000b"}',
    "lone-surrogate": '{"meme": "\\ud800"}',
    "lone-surrogate-in-key": '{"\\udfff": 1}',
    "lone-surrogate-in-bucket": '{"meme": "s3://' + UPLOADS + '/\\ud800"}',
    "lone-surrogate-in-face": '{"meme": "' + MEME + '", "face": "https://\\udc00.test/"}',
    "lone-surrogate-in-consent": '{"meme": "' + MEME + '", "consent": "\\ud83d"}',
    "control-in-consent": '{"meme": "' + MEME + '", "consent": "a\\u001b[2J"}',
    "line-separator": '{"meme": "a\\u2028b"}',
    "right-to-left": '{"meme": "\\u202egnp.a//:sptth"}',
    "numbers-for-text": '{"meme": 1}',
    "list-for-text": '{"meme": ["a"]}',
    "object-for-text": '{"meme": {"$ne": ""}}',
    "null-for-text": '{"meme": null}',
    "format": '{"meme": "' + MEME + '", "format": "svg"}',
    "format-path": '{"meme": "' + MEME + '", "format": "../../png"}',
    "quality-zero": '{"meme": "' + MEME + '", "quality": 0}',
    "quality-text": '{"meme": "' + MEME + '", "quality": "90; rm -rf /"}',
    "long-uri": '{"meme": "https://a.test/' + "a" * 1_000_000 + '"}',
    "long-data": '{"meme": "data:image/png;base64,' + "A" * 5_000_000 + '"}',
    "data-of-commas": '{"meme": "data:image/png;base64' + "," * 1_000_000 + '"}',
    "data-of-semicolons": '{"meme": "data:image/' + "a" * 100_000 + ";" * 100_000 + '"}',
    "xml": "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><meme>&b;</meme>",
    "form": "meme=a&face=b",
    "multipart": "--a\r\nContent-Disposition: form-data; name=meme\r\n\r\na\r\n--a--",
    "yaml": "meme: !!python/object/apply:os.system ['id']",
    "pickle": "\x80\x04\x95",
    "not-text": b"\xff\xfe\x00",
    "sixteen-bits": '{"meme": "a"}'.encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xcaM\xcdMU\xb2R",
}


def post(world: FakeSwapStack, patch: pytest.MonkeyPatch, path: str, body: str | bytes) -> HttpResult:
    """A body as API Gateway hands it on: as text, or in base64 where it is none."""
    if isinstance(body, str):
        with suppress(UnicodeEncodeError):
            body.encode()
            return http(world, patch, path=path, body=body or None)
    event_body = base64.b64encode(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "requestContext": {
            "http": {"method": "POST", "path": path, "sourceIp": "192.0.2.1"},
            "requestId": "req-1",
            "stage": "$default",
        },
        "body": event_body.decode(),
        "isBase64Encoded": True,
    }
    raw = invoke(world, event, patch)
    return HttpResult(raw["statusCode"], {}, json.loads(raw["body"]))


@pytest.mark.parametrize("path", ["/swap", "/verify"])
@pytest.mark.parametrize("name", BODIES)
def test_no_body_is_a_fault_of_ours(name: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = BODIES[name]
    if path == "/verify" and isinstance(body, str):
        body = body.replace('"meme"', '"uri"')

    response = post(FakeSwapStack(), monkeypatch, path, body)

    assert 400 <= response.status < 500 or (name == "same-faces" and response.status == 200), response.body
    assert len(json.dumps(response.body)) < 20_000, "what came is not sent back whole"
    assert "Traceback" not in str(response.body)


@pytest.mark.parametrize("name", [name for name, body in BODIES.items() if isinstance(body, str)])
def test_no_payload_of_a_task_is_a_fault_of_ours(name: str) -> None:
    """What Step Functions can hold at all: it has parsed the JSON before."""
    try:
        payload = json.loads(str(BODIES[name]))
    except (ValueError, RecursionError):
        payload = BODIES[name]
    with suppress(InvalidRequest):
        assert parse_task(payload)


HEADERS: list[tuple[str, str]] = [
    ("Idempotency-Key", ""),
    ("Idempotency-Key", " "),
    ("Idempotency-Key", "a" * 256),
    ("Idempotency-Key", "a" * 100_000),
    ("Idempotency-Key", "a\r\nSet-Cookie: b=c"),
    ("Idempotency-Key", "\0"),
    ("Idempotency-Key", "\x1b[2J"),
    ("Idempotency-Key", "\u202e"),
    ("Idempotency-Key", "\ud800"),
    ("Idempotency-Key", "' OR 1=1 --"),
    ("Idempotency-Key", '{"S": "x"}'),
    ("Idempotency-Key", "../../../state"),
    ("Idempotency-Key", "${jndi:ldap://127.0.0.1/a}"),
    ("Prefer", "respond-async\r\nX: y"),
    ("Prefer", "," * 100_000),
    ("Prefer", "respond-async;" * 10_000),
    ("Prefer", "\0"),
    ("Prefer", "\ud800"),
    ("Content-Type", "text/html"),
    ("Content-Type", "application/json; charset=utf-7"),
    ("Content-Type", "multipart/form-data; boundary=" + "a" * 10_000),
    ("Content-Type", "\r\nX: y"),
    ("Content-Encoding", "gzip"),
    ("Content-Length", "-1"),
    ("Content-Length", "9" * 100),
    ("Transfer-Encoding", "chunked"),
    ("Accept", "*/*" * 10_000),
    ("Accept-Encoding", "gzip;q=NaN"),
    ("Host", "127.0.0.1:9001"),
    ("X-Forwarded-For", "127.0.0.1, " * 1000),
    ("X-Forwarded-Host", "evil.test"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Amzn-Trace-Id", "Root=\r\n"),
    ("Origin", "null"),
    ("Cookie", "a=b;" * 10_000),
    ("Authorization", "Bearer " + "e30." * 9999),
    ("Range", "bytes=" + "0-," * 10_000),
]


@pytest.mark.parametrize(("name", "value"), HEADERS, ids=lambda value: ascii(value)[1:30])
def test_no_header_is_a_fault_of_ours_or_comes_back(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    headers: Any = {name: value}
    response = http(FakeSwapStack(), monkeypatch, body={"meme": "file:///etc/passwd"}, **headers)

    assert response.status in (202, 400, 422), response.body
    for header in response.headers.items():
        assert not {"\r", "\n", "\0"} & set("".join(header))
    assert "access-control-allow-origin" not in response.headers


PATHS = [
    "/swap/../uploads",
    "/swap/%2e%2e",
    "/swap/..%2f..%2fetc%2fpasswd",
    "//swap",
    "/swap//",
    "/swap/\0",
    "/swap/a\r\nb",
    "/swap/" + "a" * 10_000,
    "/swap/<script>alert(1)</script>",
    "/swap/018f0000-0000-7000-8000-00000000000g",
    "/swap/018F0000-0000-7000-8000-000000000000",
    "/swap/{018f0000-0000-7000-8000-000000000000}",
    "/swap/urn:uuid:018f0000-0000-7000-8000-000000000000",
    "/swap/018f0000000070008000000000000000",
    "/swap/\uff10\uff11\uff18f0000-0000-7000-8000-000000000000",
    "/swap/00000000-0000-0000-0000-000000000000",
    "/results/..",
    "/results/../models/packs/current.json",
    "/results/018f0000-0000-7000-8000-000000000000/../x",
    "/results/*",
    "/results/%00",
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/2018-06-01/runtime/invocation/next",
    "/" + "a/" * 5000,
    "/\ud800",
    "/swap/\ud800",
    "",
    "*",
    "http://127.0.0.1/swap",
]


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "\r\n"])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: ascii(path)[1:40])
def test_no_path_is_a_fault_of_ours(path: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    response = http(FakeSwapStack(), monkeypatch, method, path)

    assert response.status in (400, 404, 405), response.body
    assert "Traceback" not in str(response.body)
    assert len(str(response.body)) < 25_000


@pytest.mark.parametrize("path", [path.rpartition("/")[2] for path in PATHS])
def test_no_name_but_one_of_ours_has_a_time(path: str) -> None:
    assert creation_time(path) is None


# What an upload may be called; S3 takes any UTF-8 of up to 1024 bytes.
NAMES = [
    "../../swaps/a.png",
    "..",
    ".",
    "/",
    "//a.png",
    "a/../../b.png",
    "a/./b.png",
    "%2e%2e%2fa.png",
    "..\\..\\a.png",
    "a\0.png",
    "a\n.png",
    "a\r\nX: y.png",
    "\x1b[2J.png",
    "\x7f.png",
    "a b+c%20d.png",
    "\u202egnp.exe",
    "\u0000",
    "\ufeffa.png",
    "e\u0301.png",
    "\u00e9.png",
    "\U0001f600.png",
    "a-" * 500,
    "\u00e9" * 480,
    "con",
    "aux.png",
    "-rf",
    "$(id).png",
    "`id`.png",
    "a;b.png",
    "a|b.png",
    "a'b\"c.png",
    "<script>.png",
    "{{7*7}}.png",
    "${jndi:ldap://a}.png",
    "%s%n%x.png",
    "a.png.json",
    "a.json",
    "failed/a.png",
    "swapped/a.png",
    "memes/memes/a.png",
    "?versionId=null",
    "a#b.png",
    "a&acl.png",
    "?acl",
    "*",
]


@pytest.mark.parametrize(
    ("name", "good"),
    [(name, False) for name in NAMES] + [(name, True) for name in NAMES[::5]],
    ids=lambda value: ascii(value)[1:40],
)
def test_an_upload_of_any_name_ends_beside_its_like(name: str, good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    world = FakeSwapStack()
    world.storage.put(UPLOADS, f"memes/{name}", SMALL if good else b"GIF89a")
    before = set(world.storage.objects)

    invoke(world, upload_event(quote_plus(f"memes/{name}", safe="/")), monkeypatch)

    new_keys = {(bucket, key) for bucket, key in set(world.storage.objects) - before if bucket == OUTPUTS}
    if name.endswith("/"):
        assert new_keys == set(), "the console's mark of a folder"
        return
    swapped = {(OUTPUTS, f"swapped/{name}"), (OUTPUTS, f"swapped/{name}.json")}
    assert new_keys == (swapped if good else {(OUTPUTS, f"failed/{name}.json")})


@pytest.mark.parametrize("face", [f"s3://{UPLOADS}/{name}" for name in NAMES] + NAMES, ids=lambda f: ascii(f)[1:40])
def test_metadata_of_an_upload_names_a_face_within_the_rules(face: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = FakeSwapStack()
    world.storage.put(UPLOADS, "memes/a.png", encode(drawing()), face=face)

    outcome = invoke(world, upload_event(), monkeypatch)

    assert outcome == {"outcomes": ["failed/a.png.json"]}
    assert world.storage.json("failed/a.png.json")["code"] in ("refused_url", "input_not_found", "invalid_request")


KEYS = [
    "swaps/",
    "swaps//",
    "swaps/../failed/a.json",
    "swaps/../../models/packs/current.json",
    "swaps/a/../b",
    "swaps/./a",
    "swaps/..",
    "swaps/a/..",
    "swaps/a\n",
    "swaps/a\r\n",
    "swaps/a\0",
    "swaps/\x1b",
    "swaps/a b",
    "swaps/%2e%2e",
    "swaps/a?acl",
    "swaps/a#b",
    "swaps/" + "a" * 600,
    "../swaps/a",
    "/swaps/a",
    "Swaps/a",
    "videos/a.mp4",
    "work/a",
    "swapped/a.png",
    "\nswaps/a",
    "swaps\\a",
    "swaps/\\..\\a",
    "",
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key)[1:40])
def test_a_task_cannot_write_beside_its_folder(key: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_task({"meme": MEME, "key": key})


@pytest.mark.parametrize("key", ["swaps/a", "swaps/a/b.png", "swaps/a..b", "swaps/...", "swaps/.a", "swaps/a!_*'()"])
def test_a_task_may_choose_a_key_beneath_its_folder(key: str) -> None:
    body = parse_task({"meme": MEME, "key": key})
    assert isinstance(body, TaskBody)
    assert body.key == key


URIS = [
    "s3://",
    "s3:///a",
    "s3://a",
    "s3://a/",
    "S3://a/",
    "s3:a/b",
    "s3:/a/b",
    "s3//a/b",
    " s3://a/b",
    "s3 ://a/b",
    "s3n://a/b",
    "s3a://a/b",
    "s3://a/" + "b" * 1025,
    "s3://a/" + "\u00e9" * 513,
    "https://a.s3.amazonaws.com/b",
    "arn:aws:s3:::a/b",
]


@pytest.mark.parametrize("uri", URIS, ids=lambda uri: ascii(uri)[1:40])
def test_a_crooked_s3_uri_is_told(uri: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_s3_uri(uri)


BUCKETS = [
    f"{UPLOADS}-2",
    f"{UPLOADS}.evil.test",
    f"{UPLOADS}@evil.test",
    f"{UPLOADS}%2e",
    f"{UPLOADS}\\",
    f"{UPLOADS}?a",
    f"{UPLOADS}#a",
    f" {UPLOADS}",
    UPLOADS.upper(),
    UPLOADS[:-1],
    "arn:aws:s3:eu-west-1:123456789012:accesspoint",
    "*",
    "..",
    "somebody-elses",
]


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("path", ["/swap", "/verify"])
def test_no_bucket_but_the_stacks_own_is_read(bucket: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = FakeSwapStack()
    body = {"meme" if path == "/swap" else "uri": f"s3://{bucket}/requests/1/meme"}

    assert http(world, monkeypatch, path=path, body=body).body["code"] == RefusedUrl.code
    assert world.storage.reads == []


MANIFESTS = [
    "",
    "null",
    "[]",
    "{}",
    "[" * DEEP,
    '{"a":' * DEEP,
    '{"format": 1, "pack": "..", "models": {}}',
    '{"format": 1e999, "pack": "a", "models": {}}',
    '{"format": true, "pack": "a", "models": {}}',
    '{"format": 1, "format": 2, "pack": "a", "models": {}}',
    '{"format": 1, "pack": "a/b", "models": {"detector": {}, "embedder": {}, "swapper": {}}}',
    '{"format": 1, "pack": "a\\n", "models": {"detector": {}, "embedder": {}, "swapper": {}}}',
    '{"pack": "../x", "digest": "' + "a" * 64 + '"}',
    '{"pack": "a", "digest": "../../' + "a" * 58 + '"}',
    '{"pack": "a", "digest": "' + "A" * 64 + '"}',
    '{"pack": "a", "digest": "' + "a" * 64 + '\\n"}',
    '{"pack": "a", "digest": ' + "9" * 5000 + "}",
    "\ud800",
]


@pytest.mark.parametrize("text", MANIFESTS, ids=lambda text: ascii(text)[1:40])
def test_a_crooked_manifest_is_a_damaged_one(text: str) -> None:
    for parse in (Manifest.parse, Pointer.parse):
        with pytest.raises(ColdswapError):
            parse(text.encode("utf-8", "surrogatepass"))


def test_a_problem_cannot_be_made_to_say_that_it_is_another() -> None:
    extra: dict[str, Any] = {"status": 200, "code": "ok", "type": "about:blank", "retryable": True, "more": 1}

    document = problem(NotFound("Nothing.", **extra))

    assert (document["status"], document["code"], document["retryable"], document["more"]) == (
        404,
        "not_found",
        False,
        1,
    )
