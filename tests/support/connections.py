"""Catches connections where every one passes, at the socket itself, whatever library asked for it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Address = tuple[Any, ...]


@contextmanager
def catch_connections(lead: Callable[[Address], Address] | None = None) -> Iterator[list[Address]]:
    """Catch all TCP connections of this process, and give the addresses that were tried.

    None comes about, but those that `lead` sends elsewhere. Nor does anybody ask the system's resolver.
    """
    tried: list[Address] = []
    connect = socket.socket.connect

    def catch(self: socket.socket, address: Address) -> None:
        if self.type != socket.SOCK_STREAM:
            connect(self, address)  # the test's own name server
            return
        tried.append(address)
        if lead is None:
            raise ConnectionRefusedError
        connect(self, lead(address))

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the system's resolver was asked, or a socket connected by another way")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", catch)
        patch.setattr(socket.socket, "connect_ex", never)
        patch.setattr(socket, "getaddrinfo", never)
        yield tried
