"""What other machines can reach of a local cloud: its HTTP API, and S3 by links and forms that the stack has signed.

The emulator itself listens on the loopback alone: it checks no signature, and lets everybody run code and read every
bucket. In answers, its address is replaced by the public one.
"""

from __future__ import annotations

import email.parser
import email.policy
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from types import TracebackType
from urllib.parse import unquote, urlsplit

import requests

from local.cloud import Cloud
from local.s3_signatures import check_form, check_link, is_signed_link

API_BYTES = 10 << 20  # a request's body: API Gateway's own quota
FORM_BYTES = 64 << 20  # more than any form of POST /uploads allows
ANSWER_SECONDS = 60.0
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PIECE_BYTES = 1 << 18
# What steers the emulator (X-Amz-Target, signatures), or belongs to one connection.
DROPPED = re.compile(
    r"x-amz.*|x-ministack.*|x-forwarded.*|forwarded|host|connection|keep-alive|te|trailers?|transfer-encoding|upgrade|"
    r"proxy-.*|content-length|expect|accept-encoding"
)
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "server", "date", "content-encoding")


class Gateway:
    """A server in front of a deployed cloud; a context manager."""

    def __init__(self, cloud: Cloud, host: str, port: int, public_url: str) -> None:
        """Listen on this address and port. `public_url` has no slash at its end. Raises OSError."""
        self._cloud, self._public_url = cloud, public_url
        self._secret = cloud.credentials["AWS_SECRET_ACCESS_KEY"]
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = ANSWER_SECONDS  # of a client that sends or takes nothing

            def __getattr__(self, name: str) -> Callable[[], None]:
                if name.removeprefix("do_") in METHODS:
                    return lambda: gateway._answer(self)
                raise AttributeError(name)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing: targets have signatures in them."""

        class Server(ThreadingHTTPServer):
            address_family = AF_INET6 if ":" in host else AF_INET
            daemon_threads = True

        self._server = Server((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Gateway:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, client: BaseHTTPRequestHandler) -> None:
        is_form = client.command == "POST" and urlsplit(client.path).path.strip("/") == self._cloud.bucket("uploads")
        size = client.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in client.headers or not size.isdecimal():
            _refuse(client, 411, "The request needs a Content-Length.")
        elif int(size) > (FORM_BYTES if is_form else API_BYTES):
            _refuse(client, 413, "The request is too large.")
        else:
            body = client.rfile.read(int(size))
            request = self._translate_form(client, body) if is_form else self._translate(client, body)
            if request is None:
                _refuse(client, 403, "This address can be reached only by a link that the stack has signed.")
            else:
                self._relay(client, request)

    def _relay(self, client: BaseHTTPRequestHandler, request: requests.Request) -> None:
        request.headers["Accept-Encoding"] = "identity"
        with requests.Session() as session:
            session.trust_env = False  # this machine's proxies do not reach its loopback
            try:
                response = session.send(request.prepare(), timeout=ANSWER_SECONDS, stream=True, allow_redirects=False)
            except requests.RequestException:
                _refuse(client, 502, "The stack does not respond.")
                return
            with response:
                self._send(client, response)

    def _translate_form(self, client: BaseHTTPRequestHandler, body: bytes) -> requests.Request | None:
        """The request to the emulator for an upload; None if the stack has not signed its form."""
        fields, file = parse_form(client.headers.get("Content-Type", ""), body)
        if file is None or not check_form(fields, self._secret, datetime.now(UTC)):
            return None
        # Made anew, so that the emulator cannot read another form in the same bytes.
        url = f"{self._cloud.endpoint}/{self._cloud.bucket('uploads')}"
        return requests.Request("POST", url, data=fields, files={"file": file})

    def _translate(self, client: BaseHTTPRequestHandler, body: bytes) -> requests.Request | None:
        """The request to the emulator for a link or for the API; None if it may not reach the emulator."""
        if is_signed_link(client.path):
            host = urlsplit(self._cloud.endpoint).netloc
            if not check_link(client.command, client.path, host, self._secret, datetime.now(UTC)):
                return None
            headers = {name: client.headers[name] for name in ("Range", "If-None-Match") if name in client.headers}
            return requests.Request(client.command, self._cloud.endpoint + client.path, headers)
        if not is_plain_path(client.path):
            return None
        url = self._cloud.api_url + client.path
        return requests.Request(client.command, url, pass_headers(client.headers), data=body or None)

    def _send(self, client: BaseHTTPRequestHandler, response: requests.Response) -> None:
        kind = response.headers.get("Content-Type", "")
        is_stream = "Content-Length" in response.headers and "json" not in kind and not kind.startswith("text/")
        body = b"" if is_stream else self._publish(response.content)
        client.send_response(response.status_code)
        for name, value in response.headers.items():
            if name.lower() not in HOP_BY_HOP:
                client.send_header(name, self._publish(value.encode("latin-1")).decode("latin-1"))
        client.send_header("Content-Length", response.headers["Content-Length"] if is_stream else str(len(body)))
        client.end_headers()
        if client.command != "HEAD":
            for piece in response.iter_content(PIECE_BYTES) if is_stream else [body]:
                client.wfile.write(piece)

    def _publish(self, text: bytes) -> bytes:
        """The text with the public address in place of the emulator's."""
        for address in self._inner_addresses():
            text = text.replace(address.encode(), self._public_url.encode())
        return text

    def _inner_addresses(self) -> Iterator[str]:
        yield self._cloud.api_url
        yield self._cloud.browser_url
        yield self._cloud.browser_url.replace("http://", "https://")  # as on AWS, where every API has TLS
        yield self._cloud.endpoint


def pass_headers(headers: Message) -> dict[str, str]:
    """The headers that reach the API: none that the emulator itself obeys, and no AWS signature."""
    return {
        name: value
        for name, value in headers.items()
        if not DROPPED.fullmatch(name.lower()) and not (name.lower() == "authorization" and value.startswith("AWS"))
    }


def is_plain_path(target: str) -> bool:
    """Whether the target's path stays below the API's, however it is read."""
    path = unquote(unquote(target.partition("?")[0]))
    parts = path.split("/")[1:]
    return path.startswith("/") and "\\" not in path and not {".", ".."} & set(parts) and "" not in parts[:-1]


def parse_form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes | None]:
    """The fields of a multipart form, and its file; no file where the form is not one, or names a field twice."""
    head = b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n"
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    fields: dict[str, str] = {}
    file: bytes | None = None
    for part in message.iter_parts() if message.is_multipart() else ():
        name = str(part.get_param("name", "", header="content-disposition"))
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes) or name in fields or (name == "file" and file is not None):
            return {}, None
        if name == "file":
            file = content
        else:
            fields[name] = content.decode(errors="replace")
    return fields, file


def _refuse(client: BaseHTTPRequestHandler, status: int, why: str) -> None:
    body = why.encode()
    client.close_connection = True  # what is left of the body is not read
    client.send_response(status)
    client.send_header("Content-Type", "text/plain; charset=utf-8")
    client.send_header("Content-Length", str(len(body)))
    client.send_header("Connection", "close")
    client.end_headers()
    client.wfile.write(body)
