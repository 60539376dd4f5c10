"""Reading pictures: from a URI to bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from functions.swap.context import SwapContext
from functions.swap.data_uri import check_data_uri, decode_data_uri, is_data_uri
from functions.swap.meme_sink import MemeSink, must_move, probe_meme, refuse_moving, too_large
from functions.swap.moving.job import SCRATCH
from functions.swap.results import check_location, check_owner, upload_prefix
from functions.swap.settings import Settings
from functions.swap.values import PersonPictures, SwapRequest
from layers.core.deadline import Deadline, ExtensibleDeadline
from layers.core.errors import (
    ColdswapError,
    InputNotFound,
    InvalidRequest,
    ObjectNotFound,
    PictureTooLarge,
    RefusedUrl,
    TooLarge,
)
from layers.core.ids import new_id
from layers.core.mistakes import describe_mistake, name_field
from layers.core.scratch_folders import scratch_folder

MEDIA_TYPE = "application/octet-stream"  # of a stored meme: its own bytes say what it is
START_BYTES = 1 << 16  # by which an object that is too large for a still picture is recognised

KEEP_SECONDS = 4.0  # of a request's time that are left to probe and store a moving meme once it is fetched

Field = tuple[str | int, ...]  # a place in a request's JSON; empty for what the request does not name


def check(request: SwapRequest, settings: Settings) -> None:
    """Reject, before anything is loaded, what could never be fetched.

    Raises RefusedUrl or InvalidRequest, which name the field.
    """
    sources = request.sources(settings.default_face)
    if not all(sources):
        raise InvalidRequest("The request names no face, and this stack has no default face. Name one in face.")
    fields = dict(_list_fields(request))
    for uri in (*request.pictures, *(uri for source in sources for uri in source)):
        check_uri(uri, fields.get(uri, ()), request.caller, settings)


def _list_fields(request: SwapRequest) -> Iterator[tuple[str, Field]]:
    """Every URI of a request, with the field that has it."""
    yield request.meme, ("meme",)
    sources: list[tuple[Field, PersonPictures]] = [(("face",), request.face or "")]
    for position, choice in enumerate(request.faces):
        if not isinstance(choice, (int, str)):
            sources.append((("faces", position, "face"), choice["face"]))
    for field, pictures in sources:
        if isinstance(pictures, str):
            yield pictures, field
        else:
            yield from ((uri, (*field, number)) for number, uri in enumerate(pictures))


def check_uri(uri: str, field: Field, caller: str | None, settings: Settings) -> None:
    """Reject a URI that this caller could never have fetched. Raises RefusedUrl or InvalidRequest, naming the field."""
    try:
        _check_scheme(uri, caller, settings)
    except ColdswapError as error:
        raise name_error(error, field) from None


def name_error(error: ColdswapError, field: Field) -> ColdswapError:
    """The same error, whose sentence and `errors` name the field that it is about; the stack's default face if none."""
    if not field:
        return type(error)(f"About the stack's default face: {error.detail}", **error.extra)
    extra = {"errors": [describe_mistake(field, error.detail)], **error.extra}
    return type(error)(f"About {name_field(field)}: {error.detail}", **extra)


def _check_scheme(uri: str, caller: str | None, settings: Settings) -> None:
    scheme = uri.partition(":")[0].lower()
    if scheme == "s3":
        _parse_location(uri, caller, settings)
    elif scheme == "data":
        check_data_uri(uri)
    elif scheme in ("https", "http"):
        from layers.core.http_fetch import check_url

        check_url(uri, settings.trusted_origins)
    else:
        raise RefusedUrl("A picture must be named by an https:, s3: or data: URI.")


def read(uri: str, caller: str | None, context: SwapContext, limit: int | None = None) -> bytes:
    """The bytes that a URI names, `max_picture_bytes` or `limit` at most; in the stack's buckets, only what the caller
    owns.

    Raises InvalidRequest, RefusedUrl, InputNotFound, PictureTooLarge, UpstreamFailed, StorageFailed or OutOfTime.
    """
    settings = context.settings
    limit = settings.max_picture_bytes if limit is None else limit
    if is_data_uri(uri):
        return decode_data_uri(uri, limit)[0]
    if uri[:5].lower() == "s3://":
        return _read_object(uri, caller, context, limit)
    from layers.core.http_fetch import fetch

    deadline = context.deadline.sooner(settings.fetch_seconds)
    try:
        return fetch(
            uri,
            limit=limit,
            deadline=deadline,
            accept="image/*",
            trusted_origins=settings.trusted_origins,
            max_redirects=settings.max_redirects,
        )
    except TooLarge as error:
        raise PictureTooLarge(str(error)) from None


def read_meme(
    uri: str, caller: str | None, context: SwapContext, on_move: Callable[[], object] = lambda: None
) -> bytes:
    """The bytes of a meme as `read` gives them. Raises MovingMeme as soon as they turn out to be a video's, or those of
    an animation that is larger than a still picture may be.

    A caller's from a URL is fetched to its end, and kept among the caller's uploads: the error says where. Before that,
    `on_move` is called.
    """
    settings = context.settings
    if is_data_uri(uri) or uri[:5].lower() == "s3://":
        return _read_whole_meme(uri, caller, context)
    if caller is None or not settings.moving_machine_arn:
        sink = MemeSink(settings)
        _fetch_into(sink, uri, context, context.deadline.sooner(settings.fetch_seconds))
    else:
        sink = _fetch_meme(uri, caller, context, on_move)
    return sink.getvalue()


def _read_whole_meme(uri: str, caller: str | None, context: SwapContext) -> bytes:
    """The bytes of a meme in a request or in the stack's buckets. Raises as `read_meme` does."""
    settings = context.settings
    try:
        content = read(uri, caller, context)
    except PictureTooLarge:
        if must_move(_read_start(uri, caller, context), is_too_large=True):
            raise refuse_moving(settings.moving_machine_arn) from None
        raise
    if must_move(content):
        probe_meme(content, settings)
        raise refuse_moving(settings.moving_machine_arn)
    return content


def _fetch_meme(uri: str, caller: str, context: SwapContext, on_move: Callable[[], object]) -> MemeSink:
    """Fetch a caller's meme. Raises MovingMeme with where it is kept, once it is, and the errors of `read`."""
    settings, deadline = context.settings, context.deadline
    until = ExtensibleDeadline(deadline.sooner(settings.fetch_seconds).at, deadline.advice)
    with ExitStack() as stack:
        path = Path()

        def open_file() -> IO[bytes]:
            from layers.core.storage import open_for_writing

            nonlocal path
            on_move()
            until.extend(Deadline(deadline.at - KEEP_SECONDS).sooner(settings.fetch_moving_seconds))
            path = stack.enter_context(scratch_folder(SCRATCH)) / "meme"
            return stack.enter_context(open_for_writing(path))

        sink = MemeSink(settings, open_file)
        _fetch_into(sink, uri, context, until)
        if sink.moves:
            sink.flush_file()
            probe_meme(path, settings)
            error = refuse_moving(settings.moving_machine_arn)
            error.uri = _keep_meme(path, caller, context)
            raise error
        return sink


def _keep_meme(path: Path, caller: str, context: SwapContext) -> str:
    """Store a fetched meme among its caller's uploads, which expire; its URI. Raises StorageFailed."""
    bucket, key = context.settings.uploads_bucket, f"{upload_prefix(caller)}{new_id()}/meme"
    context.storage.upload(bucket, key, path, MEDIA_TYPE)
    return f"s3://{bucket}/{key}"


def _read_start(uri: str, caller: str | None, context: SwapContext) -> bytes:
    """The first bytes of an object that is larger than a still picture may be; none of a data: URI."""
    if is_data_uri(uri):
        return b""
    bucket, key = _parse_location(uri, caller, context.settings)
    return context.storage.read_start(bucket, key, START_BYTES)


def _fetch_into(file: IO[bytes], uri: str, context: SwapContext, deadline: Deadline) -> None:
    """Fetch a meme that may move, `max_moving_bytes` at most, into a file."""
    from layers.core.http_fetch import fetch_into

    settings = context.settings
    try:
        fetch_into(
            file,
            uri,
            limit=settings.max_moving_bytes,
            deadline=deadline,
            accept="image/*, video/*",
            trusted_origins=settings.trusted_origins,
            max_redirects=settings.max_redirects,
        )
    except TooLarge as error:
        raise PictureTooLarge(str(error)) from None


def is_url(uri: str) -> bool:
    """Whether a URI names what is on a server, and may be gone or changed the next time."""
    return uri.lower().startswith(("https:", "http:"))


def read_moving(uri: str, path: Path, caller: str | None, context: SwapContext) -> None:
    """Stream what a URI names into a file, `max_moving_bytes` at most. Raises as `read` does, and StorageFull."""
    settings, limit = context.settings, context.settings.max_moving_bytes
    deadline = context.deadline.sooner(settings.fetch_moving_seconds)
    if is_data_uri(uri):
        path.write_bytes(decode_data_uri(uri, limit)[0])
    elif uri[:5].lower() == "s3://":
        _download_object(uri, path, caller, context, deadline)
    else:
        from layers.core.storage import open_for_writing

        with open_for_writing(path) as file:
            _fetch_into(file, uri, context, deadline)


def _download_object(uri: str, path: Path, caller: str | None, context: SwapContext, deadline: Deadline) -> None:
    settings, limit = context.settings, context.settings.max_moving_bytes
    bucket, key = _parse_location(uri, caller, settings)
    check_owner(bucket, key, caller, settings, context.records)
    head = context.storage.head(bucket, key)
    _check_age(bucket, head.last_modified if head else None, settings)
    with _translate_missing(limit):
        context.storage.download(bucket, key, path, limit, deadline)


def _read_object(uri: str, caller: str | None, context: SwapContext, limit: int) -> bytes:
    settings = context.settings
    bucket, key = _parse_location(uri, caller, settings)
    check_owner(bucket, key, caller, settings, context.records)
    deadline = context.deadline.sooner(settings.fetch_seconds)
    with _translate_missing(limit):
        stored = context.storage.read(bucket, key, limit, deadline)
    _check_age(bucket, stored.last_modified, settings)
    return stored.data


@contextmanager
def _translate_missing(limit: int) -> Iterator[None]:
    try:
        yield
    except TooLarge:
        raise too_large(limit) from None
    except ObjectNotFound:
        # The key contains the caller's pseudonym, so the message leaves it out: a workflow's history keeps the message.
        raise InputNotFound("There is nothing at the given S3 URI.") from None


def _check_age(bucket: str, last_modified: float | None, settings: Settings) -> None:
    age = time.time() - last_modified if last_modified is not None else 0.0
    if bucket == settings.uploads_bucket and age > settings.input_seconds:
        raise InputNotFound("The upload is more than a day old and can no longer be used. Upload it again.")


def _parse_location(uri: str, caller: str | None, settings: Settings) -> tuple[str, str]:
    """Bucket and key of an s3: URI that this caller may name."""
    from layers.core.storage import parse_s3_uri

    bucket, key = parse_s3_uri(uri)
    check_location(bucket, key, caller, settings)
    return bucket, key
