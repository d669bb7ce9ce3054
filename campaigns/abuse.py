"""What twenty-two kinds of abuse cost those who do nothing wrong.

    python -m campaigns.abuse [--seconds 6] [--only WORDS]

A system of its own on this machine. For each kind, clients are asked before it and while it goes on: how many answers
they get a second, the 99th percentile of their time, what memory the two services take more, and how long after the
end until they are answered as before. Who only holds connections must cost them nothing that counts; who asks for as
much as is answered shares the processors with them. Exit status 1 when a client's request failed, when holders made the
99th percentile more than twice as long or took more than 50 MB, or when it took over five seconds to recover.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import re
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

import psutil
import requests

from campaigns.system import ADMIN, PASSWORD, System, options, print_table, system

_MANY = 200
"""Addresses of this machine that connections come from, where they come from many."""
_PROBES = 4
_TIMES, _MEGABYTES, _RECOVERY_SECONDS = 2.0, 50.0, 5.0
_LEAST_MS = 100.0
"""A 99th percentile below this is none that a person notices, whatever it was before."""


@dataclass(frozen=True)
class Abuse:
    """What every connection sends.

    Nothing whole, and then no more (hold), or a byte at a time (drip); whole requests once (ask), or over and over
    (repeat).
    """

    name: str
    how: str
    connections: int
    sent: bytes
    addresses: int = 1

    @property
    def only_holds(self) -> bool:
        """Whether it asks for no work."""
        return self.how in ("hold", "drip")


def main() -> int:
    """Do all of them, one after the other, and print the table."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=6, help="of each measurement")
    parser.add_argument("--only", default="", help="those whose name holds this")
    given = parser.parse_args()
    rows, failures = [], []
    with system(guard=False, services=True) as it:
        token = it.log_in()
        for number in range(40):
            product = {"name": f"{'AZ'[number % 2]}ceite {number}", "price": "8.95"}
            requests.post(f"{it.url}/products", json=product, headers=_bearer(token), timeout=30).raise_for_status()
        for abuse in _kinds(it):
            if given.only in abuse.name:
                row, found = _try(it, token, abuse, given.seconds)
                rows.append(row)
                failures += found
    heads = ("abuse", "connections", "from", "done/s", "others/s", "p99 ms", "memory MB", "recovered s")
    print_table("Before → during the abuse.", heads, rows)
    for failure in failures:
        print(failure)
    return int(bool(failures))


def _kinds(it: System) -> list[Abuse]:
    login, page = "POST /api/v1/session/login", "GET /login"
    wrong = json.dumps({"username": "nobody", "password": "wrong password 77"}).encode()
    half = _request(login, b" " * 90_000)[:-10_000]
    cookie, upload = _in_a_browser(it)
    stream = _head("GET /cluster", f"Accept: text/event-stream\r\n{cookie}")
    unread = (f"{page} HTTP/1.1\r\nHost: localhost\r\n\r\n" * 30).encode()
    drip = _request(login, b" " * 500)
    return [
        Abuse("a body of which one byte comes", "hold", 500, _request(login, b"x" * 1000)[:-999]),
        Abuse("the same from many", "hold", 500, _request(login, b"x" * 1000)[:-999], _MANY),
        Abuse("a body of which nothing comes", "hold", 500, _request(login, b"x" * 1000)[:-1000]),
        Abuse("a chunk that does not end", "hold", 500, _head(login, "Transfer-Encoding: chunked\r\n") + b"3e8\r\n{"),
        Abuse("80 of 90 KB of a body", "hold", 500, half),
        Abuse("the same from many", "hold", 500, half, _MANY),
        Abuse("a head that does not end", "hold", 500, _head(page, "")[:-2] + b"X-Slow: " + b"a" * 8_000),
        Abuse("nothing at all", "hold", 500, b""),
        Abuse("an answer, then nothing", "ask", 500, _request(page, b""), _MANY),
        Abuse("thirty answers that nobody reads", "ask", 500, unread),
        Abuse("open event streams", "ask", 500, stream),
        Abuse("a head byte by byte", "drip", 500, _head(page, "X-Slow: " + "a" * 500 + "\r\n")),
        Abuse("a body byte by byte", "drip", 500, drip),
        Abuse("connections that come and go", "repeat", 20, b""),
        Abuse("wrong logins", "repeat", 20, _request(login, wrong)),
        Abuse("wrong logins from many", "repeat", 50, _request(login, wrong), _MANY),
        Abuse("paths that are not there", "repeat", 20, _request("GET /nowhere", b"")),
        Abuse("made-up methods", "repeat", 20, _request("ABUSE /products", b"")),
        Abuse("numbers without end", "repeat", 20, _request(login, b'{"username":1' + b"e9999999999999999999}")),
        Abuse("lists in lists", "repeat", 20, _request(login, b"[" * 100_000)),
        Abuse("noise of TLS", "repeat", 20, bytes.fromhex("16030100a5010000a10303") + b"\xff" * 160),
        Abuse("files of 950,000 lines", "repeat", 8, upload),
    ]


def _try(it: System, token: str, abuse: Abuse, seconds: float) -> tuple[list[object], list[str]]:
    """The row, and what was not as it must be."""
    before, memory = _others(it, token, seconds), _memory(it)
    stop, ready = multiprocessing.Event(), multiprocessing.Event()
    done = multiprocessing.Value("l", 0)
    abuser = multiprocessing.Process(
        target=_abuse, args=(it.cluster.plan.ports.web, abuse, ready, stop, done), daemon=True
    )
    abuser.start()
    ready.wait(60)
    began = time.monotonic()
    during = _others(it, token, seconds)
    rate = done.value / (time.monotonic() - began)
    grown = max(0.0, _memory(it) - memory)
    stop.set()
    abuser.join(30)
    recovered = _recovery(it, token, before)
    where = f"{abuse.name} ({abuse.connections})"
    found = [f"{where}: {what}" for what in (*before.failed, *during.failed)]
    if abuse.only_holds and during.p99 > max(_LEAST_MS, _TIMES * before.p99):
        found.append(f"{where}: others' p99 grew from {before.p99:.0f} to {during.p99:.0f} ms")
    if abuse.only_holds and grown > _MEGABYTES:
        found.append(f"{where}: {grown:.0f} MB of memory more")
    if recovered > _RECOVERY_SECONDS:
        found.append(f"{where}: recovered after {recovered:.1f} s")
    return [
        abuse.name,
        abuse.connections,
        "one" if abuse.addresses == 1 else abuse.addresses,
        f"{rate:.0f}" if abuse.how == "repeat" else "–",
        f"{before.rate:.0f} → {during.rate:.0f}",
        f"{before.p99:.0f} → {during.p99:.0f}",
        f"{grown:.0f}",
        f"{recovered:.1f}",
    ], found


@dataclass(frozen=True)
class Others:
    """How clients fared: answers a second, milliseconds, and what was not answered as it should be."""

    rate: float
    p99: float
    failed: list[str]


def _others(it: System, token: str, seconds: float) -> Others:
    """A few clients that ask for a list and for a page, each on a new connection."""
    times: list[float] = []
    failed: list[str] = []
    ends = time.monotonic() + seconds

    def one(number: int) -> None:
        while time.monotonic() < ends:
            number += 1
            times.append(_asked(it, token, number, failed))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(_PROBES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    return Others(len(times) / seconds, 1000 * times[int(len(times) * 0.99)], failed)


def _asked(it: System, token: str, number: int, failed: list[str]) -> float:
    """Seconds until it was answered."""
    began = time.monotonic()
    url = f"{it.url}/products?limit=20" if number % 2 else it.url.removesuffix("/api/v1") + "/login"
    try:
        status = requests.get(url, headers=_bearer(token), timeout=30).status_code
    except requests.RequestException as error:
        failed.append(type(error).__name__)
    else:
        if status != 200:
            failed.append(f"status {status}")
    return time.monotonic() - began


def _recovery(it: System, token: str, before: Others) -> float:
    """Seconds until ten answers in a row come as before."""
    began, row = time.monotonic(), 0
    while row < 10 and time.monotonic() - began < 60:
        failed: list[str] = []
        took = _asked(it, token, row, failed) * 1000
        row = row + 1 if not failed and took <= max(_LEAST_MS, _TIMES * before.p99) else 0
    return time.monotonic() - began


def _memory(it: System) -> float:
    """MB that the two services hold for themselves."""
    directory, total = str(it.cluster.plan.directory), 0.0
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if "prodcore.web.serve" in (process.info["cmdline"] or ()) and directory in str(process.environ()):
                total += process.memory_full_info().uss / 1e6
    return total


def _abuse(port: int, abuse: Abuse, ready: Event, stop: Event, done: Synchronized[int]) -> None:
    """In a process of its own: all connections of one abuse, until ``stop``."""

    async def all_of_them() -> None:
        tasks = [asyncio.create_task(one(number)) for number in range(abuse.connections)]
        await asyncio.sleep(1.0)
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def one(number: int) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await act(number)
            if abuse.how != "repeat":
                await asyncio.sleep(1.0)  # it was cut off: come again

    async def act(number: int) -> None:
        source = (f"127.0.0.{2 + number % abuse.addresses}", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=source, limit=1024)
        try:
            if abuse.how == "drip":
                for byte in abuse.sent:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.5)
            else:
                writer.write(abuse.sent)
                await writer.drain()
            if abuse.how != "repeat":
                await hold(writer)
            elif abuse.sent:
                await reader.read(64)
            done.value += 1
        finally:
            writer.close()

    async def hold(writer: asyncio.StreamWriter) -> None:
        while not writer.transport.is_closing():
            await asyncio.sleep(0.5)

    asyncio.run(all_of_them())


def _request(what: str, body: bytes, more: str = "") -> bytes:
    kind = "" if "Content-Type" in more or not body else "Content-Type: application/json\r\n"
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return _head(what, more + kind + length) + body


def _head(what: str, more: str) -> bytes:
    return f"{what} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _in_a_browser(it: System) -> tuple[str, bytes]:
    """The header with the cookies of somebody who has logged in, and a request that uploads a large file."""
    site = it.url.removesuffix("/api/v1")
    with requests.Session() as browser:

        def proof(page: str) -> str:
            found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', browser.get(f"{site}{page}", timeout=30).text)
            return found[1] if found else ""

        data = {"csrf_token": proof("/login"), "username": ADMIN, "password": PASSWORD}
        browser.post(f"{site}/login", data=data, timeout=30).raise_for_status()
        form, file = (
            {"csrf_token": proof("/products/import")},
            {"upload": ("many.csv", b"name,price\n" + b"a,1\n" * 950_000)},
        )
        cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        made = requests.Request("POST", f"{site}/products/import", data=form, files=file).prepare()
        header = f"Cookie: {cookies}\r\n"
        body = made.body if isinstance(made.body, bytes) else b""  # with a file it is bytes
        return header, _request("POST /products/import", body, f"{header}{_content_type(made)}")


def _content_type(made: requests.PreparedRequest) -> str:
    return f"Content-Type: {made.headers['Content-Type']}\r\n"


if __name__ == "__main__":
    sys.exit(main())
