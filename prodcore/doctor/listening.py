"""Who listens where: nothing of ours beyond loopback, unless a deployment says so."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prodcore.doctor.check import Check, State

GROUP = "listening"

_LISTEN = "0A"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")

Listener = tuple[str, int]
"""Address and port."""


def listeners() -> list[Listener]:
    """Every TCP port that is listened on here, as the kernel tells it (Linux)."""
    found: list[Listener] = []
    for table in _TABLES:
        try:
            found += parse_table(Path(table).read_text())
        except OSError:  # no IPv6, or no Linux
            continue
    return found


def parse_table(text: str) -> Iterator[Listener]:
    """The listening lines of ``/proc/net/tcp`` or ``tcp6``."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTEN:
            address, _, port = fields[1].partition(":")
            yield _address(bytes.fromhex(address)), int(port, 16)


def judge_listeners(seen: Iterable[Listener], ours: Mapping[int, str]) -> Iterator[Check]:
    """Our programs that others on the network can reach; ``ours`` names the program of each port."""
    inside = set()
    for address, port in sorted(set(seen)):
        if port not in ours:
            continue
        if ipaddress.ip_address(address).is_loopback:
            inside.add(port)
            continue
        text = f"port {port} listens on {address}: others on the network reach it"
        fix = "PRODCTL_BIND=127.0.0.1 for a service, net.bindIp for a mongod; then prodctl local down and up"
        yield Check(GROUP, ours[port], State.PROBLEM, text, fix)
    yield Check(GROUP, "loopback", State.OK, f"{len(inside)} of our {len(ours)} ports listen on loopback alone")


def _address(raw: bytes) -> str:
    """The kernel writes an address as 32-bit words in the machine's own order."""
    words = struct.unpack(f"={len(raw) // 4}I", raw)
    address = ipaddress.ip_address(struct.pack(f">{len(words)}I", *words))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
