"""What `GET /` says: what this is, and where to read on. Nothing in it depends on who asks."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "0.2.0"
NAME = "Coldswap"
DESCRIPTION = (
    "Puts a face into a meme, and turns a script into a short video. Every result is labelled as made with a model."
)


@dataclass(frozen=True)
class Welcome:
    """What this is."""

    name: str
    version: str
    description: str
    example: str  # a command; $API is the address of this API
    links: dict[str, str]  # paths of this API


def welcome(has_page: bool = False) -> Welcome:
    """What this is; `has_page`: whether a browser gets the page here."""
    return Welcome(
        name=NAME,
        version=VERSION,
        description=DESCRIPTION,
        example="curl -o out.jpg -H 'Accept: image/*' -F face=@me.jpg -F meme=@meme.jpg $API/swap",
        links={
            "openapi": "/openapi.json",
            "docs": "/docs",
            "terms": "/terms",
            **({"page": "/"} if has_page else {}),
        },
    )
