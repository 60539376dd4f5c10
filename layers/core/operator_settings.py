"""What an operator tunes without a deployment: the SSM parameter /STACK/settings, a JSON object (`make settings`).

A field that is left out has its default. A document that cannot be read stops whatever needs it: a budget that somebody
lowered must not be forgotten because of a typing error beside it.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from layers.core.errors import SafeguardFailed, StorageFailed
from layers.core.telemetry import logger

KEPT_SECONDS = 60.0  # a change is in use after this
# Codes of GetParameter (its API reference) that no retry cures.
_NOT_THERE = ("ParameterNotFound", "ValidationException")
_MOST = 10**9
_FILE_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,95}\.(?i:ttf|otf|ttc))?")
_CLIENT_ID = re.compile(r"[!-~]{0,255}")  # RFC 6749, appendix A.1, without blanks
_SCOPES = re.compile(r"[!#-\[\]-~]{1,100}( [!#-\[\]-~]{1,100}){0,19}")  # RFC 6749, section 3.3
_UNUSABLE = "The settings of this stack cannot be read, so nothing is made. Its operator must fix them (make settings)."


@dataclass(frozen=True)
class OperatorSettings:
    """The fields of the document. Each is a `bool`, an `int` that is not negative, or text of a pattern, and says what
    it does."""

    daily_budget: int = field(
        default=5000,
        metadata={
            "help": "Megapixels of memes, and as many seconds of video, that one caller of the HTTP API may request "
            "in a day (UTC). 0: unlimited. Upload forms, lists of faces, files read by /verify, faces beyond four and "
            "sources beyond the first count too."
        },
    )
    cache_latents: bool = field(
        default=False,
        metadata={
            "help": "Keep what was computed from a face for a day, so that the same face is faster next time. It is "
            "biometric data. The default face is always kept."
        },
    )

    caption_font: str = field(
        default="",
        metadata={
            "help": "Name of a font file of yours under fonts/ of the models bucket, such as Brand.ttf: captions are "
            "drawn by it, and what it lacks by the typefaces of the image. It has at most 20 MiB, and its licence "
            "allows cutting and embedding.",
            "pattern": _FILE_NAME,
            "must": "be the name of a file that ends in .ttf, .otf or .ttc, or empty",
        },
    )

    sign_in_client_id: str = field(
        default="",
        metadata={
            "help": "With AuthMode jwt: the id under which the page signs people in at the issuer (a public client: "
            "authorization code with PKCE, no secret; the page's address is its redirect URI). Empty: the page cannot.",
            "pattern": _CLIENT_ID,
            "must": "be the id of a client, without blanks, or empty",
        },
    )
    sign_in_scopes: str = field(
        default="openid",
        metadata={
            "help": "What the page asks the issuer for, with blanks between: what makes it issue tokens that this "
            "stack accepts.",
            "pattern": _SCOPES,
            "must": "be scopes with single blanks between",
        },
    )

    @staticmethod
    def parse(text: str) -> OperatorSettings:
        """Read the document. Raises ValueError, which says what is wrong with which field."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("The document is not JSON.") from None
        if not isinstance(document, dict):
            raise ValueError("The document must be a JSON object.")
        return OperatorSettings().changed(document)

    def changed(self, values: Mapping[str, Any]) -> OperatorSettings:
        """These settings with other values. Raises ValueError, which says what is wrong with which field."""
        defaults = {each.name: each.default for each in fields(OperatorSettings)}
        metadata = {each.name: each.metadata for each in fields(OperatorSettings)}
        for name, value in values.items():
            if name not in defaults:
                raise ValueError(f"There is no setting {name}. The settings are {', '.join(defaults)}.")
            if isinstance(defaults[name], bool):
                if not isinstance(value, bool):
                    raise ValueError(f"{name} must be true or false.")
            elif isinstance(defaults[name], str):
                facts = metadata[name]
                if not isinstance(value, str) or not facts["pattern"].fullmatch(value):
                    raise ValueError(f"{name} must {facts['must']}.")
            elif isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
                raise ValueError(f"{name} must be a whole number from 0 to {_MOST:,}.")
        return OperatorSettings(**{**vars(self), **values})

    def text(self) -> str:
        """The document: the fields whose values are not the defaults."""
        defaults = vars(OperatorSettings())
        return json.dumps({name: value for name, value in vars(self).items() if value != defaults[name]})


class SettingsReader:
    """Reads the parameter when a value is first needed, and again when what it knows is a minute old."""

    def __init__(
        self, parameter: str, client: Callable[[], Any] | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`parameter`: its name; without one the defaults hold. `client` gives boto3's SSM client when first needed."""
        self._parameter = parameter
        self._client = client or _ssm
        self._now = now
        self._lock = threading.Lock()
        self._latest: tuple[float, OperatorSettings] | None = None

    def __call__(self) -> OperatorSettings:
        """The settings as of a minute ago at most; older ones while SSM does not answer.

        Raises SafeguardFailed for a document that cannot be read, and StorageFailed where SSM has never answered.
        """
        if not self._parameter:
            return OperatorSettings()
        with self._lock:
            if self._latest is None or self._now() - self._latest[0] >= KEPT_SECONDS:
                self._latest = (self._now(), self._read())
            return self._latest[1]

    def _read(self) -> OperatorSettings:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            text = str(self._client().get_parameter(Name=self._parameter)["Parameter"]["Value"])
        except (BotoCoreError, ClientError) as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code", type(error).__name__)
            self._log(code)
            if code in _NOT_THERE:
                raise SafeguardFailed(_UNUSABLE) from error
            if self._latest is None:
                raise StorageFailed("The settings of this stack could not be read. Try again.") from error
            return self._latest[1]
        try:
            return OperatorSettings.parse(text)
        except ValueError as error:
            self._log(str(error))
            raise SafeguardFailed(_UNUSABLE) from None

    def _log(self, reason: str) -> None:
        logger().error("settings not read", extra={"parameter": self._parameter, "reason": reason})


def _ssm() -> Any:
    from layers.core.storage import client

    return client("ssm")
