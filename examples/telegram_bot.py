"""A Telegram bot that swaps the face in every picture that it is sent.

A picture alone gets the stack's default face. A picture that is sent as the reply to another one gets that one's face.
The bot keeps nothing: it forgets every message, and deletes each result as soon as the chat has it.

It needs Python 3.11 and requests, and these variables:

    TELEGRAM_TOKEN  of a bot that @BotFather made
    API             the stack's ApiUrl, or what make up prints
    KEY             an API key (make key NAME=bot), where AuthMode is key
"""

from __future__ import annotations

import base64
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import requests

POLL_SECONDS = 50  # that Telegram holds a request for which there is no message
SWAP_SECONDS = 40  # API Gateway answers after 30 at most
MAX_BYTES = 4_000_000  # of both pictures: a request of the API may have 6 MB, and base64 makes a third more
HELP = "Send me a picture, or reply to a picture of a face with the picture that the face should go into."
TRY_AGAIN = "That did not work just now. Please try again in a minute."
TOO_LARGE = "That is too large for me: send pictures of no more than 4 MB together."


class Refusal(Exception):
    """What to say instead of sending a picture."""


class Telegram:
    """The methods of Telegram's Bot API that the bot needs: https://core.telegram.org/bots/api."""

    def __init__(self, token: str, url: str) -> None:
        self._token, self._url = token, url
        self._session = requests.Session()

    def call(self, method: str, files: Any = None, **parameters: Any) -> Any:
        """The result of a method. Raises requests.RequestException, whose message may have the token."""
        url = f"{self._url}/bot{self._token}/{method}"
        response = self._session.post(url, data=parameters, files=files, timeout=POLL_SECONDS + 10)
        response.raise_for_status()
        return response.json()["result"]

    def messages(self) -> Iterator[dict[str, Any]]:
        """Messages for as long as the bot runs, each once."""
        offset = 0
        while True:
            try:
                updates = self.call("getUpdates", offset=offset, timeout=POLL_SECONDS, allowed_updates='["message"]')
            except requests.RequestException as error:
                print(f"Telegram did not answer: {type(error).__name__}", file=sys.stderr)
                time.sleep(5)
                continue
            for update in updates:
                offset = update["update_id"] + 1
                if "message" in update:
                    yield update["message"]

    def read_picture(self, message: dict[str, Any]) -> bytes | None:
        """The message's picture in its largest size; None if it has none. Raises Refusal where it is too large."""
        sizes = message.get("photo") or [message.get("document")]
        if not sizes[-1]:
            return None
        if sizes[-1].get("file_size", 0) > MAX_BYTES:
            raise Refusal(TOO_LARGE)
        path = self.call("getFile", file_id=sizes[-1]["file_id"])["file_path"]
        response = self._session.get(f"{self._url}/file/bot{self._token}/{path}", timeout=60, stream=True)
        response.raise_for_status()
        data = response.raw.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise Refusal(TOO_LARGE)
        return bytes(data)


class Coldswap:
    """The API of the stack."""

    def __init__(self, url: str, key: str | None) -> None:
        self._url = url
        self._session = requests.Session()
        if key:
            self._session.headers["x-api-key"] = key

    def swap(self, meme: bytes, face: bytes | None) -> bytes:
        """The picture with the new face. Raises Refusal with the API's own sentence, or requests.RequestException."""
        body = {"meme": _data_uri(meme), **({"face": _data_uri(face)} if face else {})}
        response = self._session.post(f"{self._url}/swap", json=body, timeout=SWAP_SECONDS)
        if response.headers.get("Content-Type") == "application/problem+json":
            raise Refusal(response.json()["detail"])
        response.raise_for_status()
        result = response.json()
        # The link is S3's, which takes no key beside it.
        picture = requests.get(result["url"], timeout=60)
        picture.raise_for_status()
        name = result["key"].rpartition("/")[2].partition(".")[0]
        self._session.delete(f"{self._url}/results/{name}", timeout=SWAP_SECONDS).raise_for_status()
        return picture.content


def _data_uri(picture: bytes) -> str:
    return "data:;base64," + base64.b64encode(picture).decode()


def answer(message: dict[str, Any], telegram: Telegram, coldswap: Coldswap) -> None:
    """Send a picture back, or say why there is none. Raises requests.RequestException where Telegram takes neither."""
    chat = message["chat"]["id"]
    try:
        meme = telegram.read_picture(message)
        if meme is None:
            raise Refusal(HELP)
        face = telegram.read_picture(message.get("reply_to_message", {}))
        if len(meme) + len(face or b"") > MAX_BYTES:
            raise Refusal(TOO_LARGE)
        picture = coldswap.swap(meme, face)
    except Refusal as refusal:
        telegram.call("sendMessage", chat_id=chat, text=str(refusal))
    except requests.RequestException as error:
        print(f"A swap failed: {type(error).__name__}", file=sys.stderr)
        telegram.call("sendMessage", chat_id=chat, text=TRY_AGAIN)
    else:
        telegram.call("sendPhoto", files={"photo": ("swapped", picture)}, chat_id=chat)


def main() -> None:
    """Answer messages until the process ends."""
    missing = [name for name in ("TELEGRAM_TOKEN", "API") if not os.environ.get(name)]
    if missing:
        sys.exit(f"Set {' and '.join(missing)} (examples/README.md).")
    telegram = Telegram(os.environ["TELEGRAM_TOKEN"], os.environ.get("TELEGRAM_URL", "https://api.telegram.org"))
    coldswap = Coldswap(os.environ["API"].rstrip("/"), os.environ.get("KEY"))
    for message in telegram.messages():
        try:
            answer(message, telegram, coldswap)
        except requests.RequestException as error:
            print(f"Telegram took no answer: {type(error).__name__}", file=sys.stderr)


if __name__ == "__main__":
    main()
