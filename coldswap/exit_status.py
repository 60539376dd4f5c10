"""How a command ends."""

from __future__ import annotations

from layers.core.errors import ColdswapError, InputNotFound, InvalidRequest

DONE, FAILED, USAGE, UNSUITABLE, INTERRUPTED = 0, 1, 2, 3, 130
MEANING = (
    "Exit status: 0 done; 1 failed; 2 wrong usage, or no such file; 3 a picture that cannot be used; 130 interrupted."
)


class CommandFailed(Exception):
    """A command cannot be carried out, for a reason that the API does not know. The message says what to do."""

    def __init__(self, detail: str, code: str, status: int = FAILED) -> None:
        super().__init__(detail)
        self.code = code
        self.status = status


def choose_status(error: ColdswapError) -> int:
    """The exit status for an error of the API's family."""
    if isinstance(error, InvalidRequest | InputNotFound):
        return USAGE
    return UNSUITABLE if error.status < 500 else FAILED
