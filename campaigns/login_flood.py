"""Does a flood of wrong logins slow down those who are logged in?

Reads products with a few connections, first alone, then while another process sends wrong logins from many more, as
fast as they are answered and without heeding Retry-After. An admin's password comes on stdin:

    python -m campaigns.login_flood --url http://127.0.0.1:3000 --admin admin < password

Exit status 1 when less than half of the throughput is left, or a 429 came without Retry-After.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import secrets
import sys
import threading
import time
from collections import Counter
from multiprocessing.synchronize import Event
from urllib.parse import urlsplit

import requests

SHARE = 0.5


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", default="http://127.0.0.1:3000")
    options.add_argument("--admin", default="admin")
    options.add_argument("--readers", type=int, default=8)
    options.add_argument("--flooders", type=int, default=50)
    options.add_argument("--seconds", type=float, default=10)
    given = options.parse_args()
    api = f"{given.url}/api/v1"
    login = {"username": given.admin, "password": sys.stdin.readline().strip()}
    token = requests.post(f"{api}/session/login", json=login, timeout=30).json()["access_token"]
    read(api, token, given.readers, 2)
    alone = read(api, token, given.readers, given.seconds)
    stop = multiprocessing.Event()
    answers: multiprocessing.Queue[Counter[str]] = multiprocessing.Queue()
    where = urlsplit(given.url)
    flooding = (where.hostname, where.port, stop, answers, given.flooders)
    multiprocessing.Process(target=flood, args=flooding, daemon=True).start()
    time.sleep(2)
    flooded = read(api, token, given.readers, given.seconds)
    stop.set()
    seen = answers.get(timeout=60)
    share = flooded / alone
    print(f"products alone {alone:.0f}/s, during the flood {flooded:.0f}/s: {share:.0%} (at least {SHARE:.0%})")
    print(f"answers to the flood: {dict(seen)}")
    return 0 if share >= SHARE and not seen["429 without Retry-After"] else 1


def read(api: str, token: str, readers: int, seconds: float) -> float:
    """Products read a second; anything but 200 ends the measurement."""
    done = Counter[int]()
    ends = time.monotonic() + seconds

    def one() -> None:
        with requests.Session() as session:
            session.headers["Authorization"] = f"Bearer {token}"
            while time.monotonic() < ends:
                status = session.get(f"{api}/products?limit=20", timeout=30).status_code
                done[status] += 1

    threads = [threading.Thread(target=one) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(done) == {200}, done  # noqa: S101
    return done[200] / seconds


def flood(host: str, port: int, stop: Event, answers: multiprocessing.Queue[Counter[str]], connections: int) -> None:
    """Wrong logins, as fast as they are answered; with little work of its own, since it shares the cores here."""

    async def one(seen: Counter[str]) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        while not stop.is_set():
            body = json.dumps({"username": f"user{secrets.randbelow(1000)}", "password": "wrong password 77"})
            head = f"POST /api/v1/session/login HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(answer.partition("content-length:")[2].split()[0]))
            status = answer.split()[1]
            seen[f"{status} without Retry-After" if status == "429" and "retry-after" not in answer else status] += 1
        writer.close()

    async def all_of_them() -> Counter[str]:
        seen = Counter[str]()
        await asyncio.gather(*(one(seen) for _ in range(connections)))
        return seen

    answers.put(asyncio.run(all_of_them()))


if __name__ == "__main__":
    sys.exit(main())
