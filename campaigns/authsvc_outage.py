"""authsvc dies under browser and API traffic: who is logged in notices nothing, who was refused stays refused.

    python -m campaigns.authsvc_outage --url http://127.0.0.1:3000 --admin admin --seconds 600 \\
        --stop 'prodctl local stop authsvc' --start 'prodctl local start authsvc' < password

Run authsvc with PRODCTL_ACCESS_TOKEN_SECONDS=60, so that every access token ends during the outage. Exit status 1 when
anything was answered otherwise than promised.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import threading
import time
from collections import Counter

import requests

TIMEOUT_SECONDS = 30
PAUSE_SECONDS = 1.0


class Run:
    """What everybody in the run shares."""

    def __init__(self, url: str, login: dict[str, str]) -> None:
        self.url = url
        self.login = login
        self.phase = "before"
        self.over = threading.Event()
        self.seen: Counter[tuple[str, str, int]] = Counter()
        self.lock = threading.Lock()

    def note(self, who: str, status: int) -> None:
        """Count an answer."""
        with self.lock:
            self.seen[self.phase, who, status] += 1

    def api(self, method: str, path: str, body: object = None, token: str = "") -> requests.Response:
        """Call the REST API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers, timeout=TIMEOUT_SECONDS)


def main() -> int:
    """Run and judge."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", default="http://127.0.0.1:3000")
    options.add_argument("--admin", default="admin")
    options.add_argument("--seconds", type=float, default=600)
    options.add_argument("--people", type=int, default=25, help="so many with a browser, and so many programs")
    options.add_argument("--stop", required=True)
    options.add_argument("--start", required=True)
    given = options.parse_args()
    run = Run(given.url, {"username": given.admin, "password": sys.stdin.readline().strip()})
    people = [threading.Thread(target=person, args=(run, log_in_api(run))) for _ in range(given.people)]
    people += [threading.Thread(target=browser, args=(run, log_in_page(run))) for _ in range(given.people)]
    gone = log_in_api(run)
    assert run.api("POST", "/session/logout", {"refresh_token": gone["refresh_token"]}).ok  # noqa: S101
    people += [threading.Thread(target=refused, args=(run, gone["access_token"]))]
    people += [threading.Thread(target=newcomer, args=(run, right)) for right in (True, False)]
    for thread in people:
        thread.start()
    time.sleep(5)
    subprocess.run(shlex.split(given.stop), check=True)  # noqa: S603  what the person who runs this typed
    time.sleep(3)
    run.phase = "down"
    time.sleep(given.seconds)
    run.phase = "starting"
    subprocess.run(shlex.split(given.start), check=True)  # noqa: S603
    time.sleep(15)
    run.phase = "after"
    time.sleep(10)
    run.over.set()
    for thread in people:
        thread.join()
    return judge(run)


def log_in_api(run: Run) -> dict[str, str]:
    """Tokens of a new session."""
    answer = run.api("POST", "/session/login", run.login)
    answer.raise_for_status()
    tokens: dict[str, str] = answer.json()
    return tokens


def log_in_page(run: Run) -> requests.Session:
    """A browser's cookies after the login page."""
    session = requests.Session()
    page = session.get(f"{run.url}/login", timeout=TIMEOUT_SECONDS).text
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    form = {**run.login, "csrf_token": found[1] if found else ""}
    headers = {"Referer": f"{run.url}/login"}
    answer = session.post(
        f"{run.url}/login", data=form, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
    )
    assert answer.status_code == 303, answer.status_code  # noqa: S101
    return session


def person(run: Run, tokens: dict[str, str]) -> None:
    """A program that refreshes in time, and goes on with what it has when nobody answers."""
    ends = time.monotonic() + 40
    while not run.over.wait(PAUSE_SECONDS):
        if time.monotonic() > ends:
            answer = run.api("POST", "/session/refresh", {"refresh_token": tokens["refresh_token"]})
            run.note("refresh", answer.status_code)
            if answer.ok:
                tokens, ends = answer.json(), time.monotonic() + 40
        run.note("program", run.api("GET", "/products?limit=5", token=tokens["access_token"]).status_code)


def browser(run: Run, session: requests.Session) -> None:
    """Somebody who looks at pages."""
    while not run.over.wait(PAUSE_SECONDS):
        answer = session.get(f"{run.url}/products", timeout=TIMEOUT_SECONDS, allow_redirects=False)
        run.note("browser", answer.status_code)


def refused(run: Run, token: str) -> None:
    """Somebody who has logged out, and somebody with a forged token."""
    time.sleep(3)
    while not run.over.wait(PAUSE_SECONDS):
        run.note("logged out", run.api("GET", "/products?limit=5", token=token).status_code)
        run.note("forged", run.api("GET", "/products?limit=5", token=token[:-4] + "AAAA").status_code)


def newcomer(run: Run, right: bool) -> None:
    """Somebody who tries to log in now and then."""
    who = "login, right" if right else "login, wrong"
    body = run.login if right else {**run.login, "username": "somebody-else"}
    while not run.over.wait(PAUSE_SECONDS * 10):
        run.note(who, run.api("POST", "/session/login", body).status_code)


def judge(run: Run) -> int:
    """Print what was answered, and whether it was as promised."""
    promised = {"program": {200}, "browser": {200}, "logged out": {401}, "forged": {401}}
    while_down = {**promised, "refresh": {503}, "login, right": {503}, "login, wrong": {503}}
    afterwards = {**promised, "refresh": {200}, "login, right": {200}}
    wrong = 0
    for (phase, who, status), count in sorted(run.seen.items()):
        rule = {"down": while_down, "after": afterwards}.get(phase, promised).get(who)
        bad = rule is not None and status not in rule
        wrong += bad
        print(f"{phase:<9} {who:<13} {status} × {count}{'   NOT AS PROMISED' if bad else ''}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
