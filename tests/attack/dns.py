"""A name server on the loopback that says what it is told to, and a client that asks it: real queries, real packets.

RFC 1035, as much of it as an A or AAAA question needs.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

A, AAAA = 1, 28
Zone = Mapping[str, Callable[[int], list[str]]]  # by name: the addresses given to the question of that number, from 0


class NameServer:
    """Answers from a zone; counts its questions."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.counts: dict[str, int] = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))

    def serve(self) -> None:
        """Until an empty packet comes."""
        while True:
            question, client_address = self.socket.recvfrom(512)
            if not question:
                return
            self.socket.sendto(self._respond(question), client_address)

    def _respond(self, question: bytes) -> bytes:
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        (kind,) = struct.unpack_from(">H", question, at + 1)
        name = ".".join(labels)
        number = self.counts.get(name, 0)
        if kind == AAAA or name not in self._zone:
            self.counts[name] = number + 1  # a look-up asks for A, then for AAAA
        addresses = [ipaddress.ip_address(each) for each in self._zone[name](number)] if name in self._zone else []
        matching = [each for each in addresses if each.version == (4 if kind == A else 6)]
        flags = 0x8180 if name in self._zone else 0x8183  # no such name
        head = question[:2] + struct.pack(">HHHHH", flags, 1, len(matching), 0, 0)
        # A pointer to the name in the question; class IN; no time to live, as those who rebind say.
        records = [struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(each.packed)) + each.packed for each in matching]
        return head + question[12 : at + 5] + b"".join(records)

    def resolve(self, host: str, port: int) -> list[str]:
        """As the system's resolver: IPv4 first, then IPv6. Raises socket.gaierror where there is neither."""
        addresses = [*self._ask(host, A), *self._ask(host, AAAA)]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return addresses

    def _ask(self, host: str, kind: int) -> list[str]:
        name = b"".join(bytes([len(part)]) + part.encode() for part in host.rstrip(".").split(".")) + b"\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.connect(self.socket.getsockname())
            client.send(struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + name + struct.pack(">HH", kind, 1))
            response = client.recv(4096)
        (count,) = struct.unpack_from(">H", response, 6)
        at, addresses = 12 + len(name) + 4, []
        for _ in range(count):
            (length,) = struct.unpack_from(">H", response, at + 10)
            addresses.append(str(ipaddress.ip_address(response[at + 12 : at + 12 + length])))
            at += 12 + length
        return addresses


@contextmanager
def name_server(zone: Zone) -> Iterator[NameServer]:
    """Running meanwhile."""
    server = NameServer(zone)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", server.socket.getsockname())
        thread.join(5)
        server.socket.close()
