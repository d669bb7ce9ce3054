"""The primary of the users' replica set dies under a stream of logins: none is answered wrongly.

    python -m campaigns.login_failover --url http://127.0.0.1:3000 --admin admin --kill 'kill -9 PID' < password

Twenty logins a second begin on time, whatever became of those before; one a second has a wrong password. Right ones
must end with 200, wrong ones with 401, and those that cannot be served with 503 or 429 and Retry-After. Exit status 1
else, and when no login was served before the kill or none after it: such a run shows nothing.

Every login is somebody else's from another address: run webapp with PRODCTL_TRUSTED_PROXIES=1, so that the limits per
account and address, which are not what is measured here, stay out of it. PRODCTL_BCRYPT_COST=10 lets most be served.
"""

from __future__ import annotations

import argparse
import secrets
import shlex
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import requests

RATE = 20
PEOPLE = 60
PASSWORD = secrets.token_urlsafe(18)
SERVED = {"right": 200, "wrong": 401}


def main() -> int:
    """Run and judge."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", default="http://127.0.0.1:3000")
    options.add_argument("--admin", default="admin")
    options.add_argument("--seconds", type=int, default=15)
    options.add_argument("--kill", required=True)
    given = options.parse_args()
    people = add_people(given.url, given.admin, sys.stdin.readline().strip())
    seen: Counter[tuple[str, str, int, bool]] = Counter()
    lock = threading.Lock()
    killed_at = [float("inf")]

    def log_in(number: int) -> None:
        kind = "wrong" if number % RATE == 0 else "right"
        password = PASSWORD if kind == "right" else "wrong password 77"
        answer = ask(given.url, "/session/login", {"username": people[number % PEOPLE], "password": password})
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
    return judge(seen, RATE * given.seconds - 1)


def ask(url: str, path: str, body: object, token: str = "") -> requests.Response:
    """Call the REST API as a trusted proxy does for somebody at another address each time."""
    headers = {"X-Forwarded-For": f"2001:db8:{secrets.randbelow(65536):x}:{secrets.randbelow(65536):x}::1"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return requests.post(f"{url}/api/v1{path}", json=body, headers=headers, timeout=60)


def add_people(url: str, admin: str, password: str) -> list[str]:
    """The names of new users."""
    token = ask(url, "/session/login", {"username": admin, "password": password}).json()["access_token"]
    names = [f"failover{secrets.token_hex(4)}" for _ in range(PEOPLE)]
    for name in names:
        ask(url, "/users", {"username": name, "password": PASSWORD}, token).raise_for_status()
    return names


def judge(seen: Counter[tuple[str, str, int, bool]], begun: int) -> int:
    """Print what was answered, and whether it was as promised."""
    wrong = 0
    for (phase, kind, status, retry), count in sorted(seen.items()):
        bad = status != SERVED[kind] and not (status in (429, 503) and retry)
        wrong += count if bad else 0
        print(f"{phase:<7} {kind} password: {status} × {count}{'   WRONG ANSWER' if bad else ''}")
    print(f"{sum(seen.values())} of {begun} logins answered, {wrong} wrongly")
    served = {phase for phase, kind, status, _ in seen if (kind, status) == ("right", 200)}
    if served != {"before", "since"}:
        print("no login was served before the kill, or none after it: this run shows nothing")
    return 1 if wrong or served != {"before", "since"} or sum(seen.values()) != begun else 0


if __name__ == "__main__":
    sys.exit(main())
