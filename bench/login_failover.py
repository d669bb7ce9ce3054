#!/usr/bin/env python3
"""The primary of the users' replica set dies under a stream of logins: none is answered wrongly.

    bench/login_failover.py --url http://127.0.0.1:3000 --admin admin --kill 'kill -9 PID' < password

Twenty logins a second begin on time, whatever became of those before; one a second has a wrong password. Right ones
must end with 200, wrong ones with 401, and those that cannot be served with 503 or 429 and Retry-After. Exit status 1
else.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import requests

RATE = 20
SERVED = {"right": 200, "wrong": 401}


def main() -> int:
    """Run and judge."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", default="http://127.0.0.1:3000")
    options.add_argument("--admin", default="admin")
    options.add_argument("--seconds", type=int, default=15)
    options.add_argument("--kill", required=True)
    given = options.parse_args()
    password = sys.stdin.readline().strip()
    seen: Counter[tuple[str, str, int, bool]] = Counter()
    lock = threading.Lock()
    killed_at = [float("inf")]

    def log_in(number: int) -> None:
        kind = "wrong" if number % RATE == 0 else "right"
        body = {"username": given.admin, "password": password}
        if kind == "wrong":
            body = {"username": f"nobody{number}", "password": "wrong password 77"}
        answer = requests.post(f"{given.url}/api/v1/session/login", json=body, timeout=60)
        phase = "before" if time.monotonic() < killed_at[0] else "since"
        with lock:
            seen[phase, kind, answer.status_code, "Retry-After" in answer.headers] += 1

    with ThreadPoolExecutor(RATE * given.seconds) as pool:
        began = time.monotonic()
        for number in range(1, RATE * given.seconds):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            pool.submit(log_in, number)
            if number == RATE * given.seconds // 3:
                subprocess.run(shlex.split(given.kill), check=True)  # noqa: S603  what the person who runs this typed
                killed_at[0] = time.monotonic()
    wrong = 0
    for (phase, kind, status, retry), count in sorted(seen.items()):
        bad = status != SERVED[kind] and not (status in (429, 503) and retry)
        wrong += bad
        print(f"{phase:<7} {kind} password: {status} × {count}{'   WRONG ANSWER' if bad else ''}")
    print(f"{sum(seen.values())} of {RATE * given.seconds - 1} logins answered")
    return 1 if wrong or sum(seen.values()) != RATE * given.seconds - 1 else 0


if __name__ == "__main__":
    sys.exit(main())
