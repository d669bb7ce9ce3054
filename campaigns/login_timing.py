"""Does the time of a refused login tell whether the user exists?

Asks authsvc itself, as webapp does, with wrong passwords for users that exist and names that do not, turn by turn, and
compares the medians. Needs the env file of authsvc (PRODCTL_ENV_FILE) and an admin's password on stdin:

    PRODCTL_ENV_FILE=…/env/auth.env python -m campaigns.login_timing \\
        --url http://127.0.0.1:5000 --admin admin < password

Exit status 1 when the medians differ by 10 % or more.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
import time

import requests

from prodcore.settings import load_settings

ATTEMPTS_AN_ACCOUNT = 4  # the fifth failure starts the waiting
LIMIT = 0.10


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", default="http://127.0.0.1:5000")
    options.add_argument("--admin", default="admin")
    options.add_argument("--count", type=int, default=200)
    given = options.parse_args()
    secret = load_settings().service_secret
    assert secret is not None, "PRODCTL_ENV_FILE is not authsvc's"  # noqa: S101
    service = Service(given.url, secret.get_secret_value())
    token = service.ask("/session/login", {"username": given.admin, "password": sys.stdin.readline().strip()}).json()
    known = add_users(service, token["access_token"], -(-given.count // ATTEMPTS_AN_ACCOUNT))
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    for i in range(given.count):
        for kind, name in (("known", known[i // ATTEMPTS_AN_ACCOUNT]), ("unknown", f"nobody{secrets.token_hex(4)}")):
            began = time.perf_counter()
            status = service.ask("/session/login", {"username": name, "password": "wrong password 77"}).status_code
            times[kind].append(time.perf_counter() - began)
            assert status == 401, status  # noqa: S101
    medians = {kind: statistics.median(seconds) * 1000 for kind, seconds in times.items()}
    difference = abs(medians["known"] - medians["unknown"]) / max(medians.values())
    print(f"{given.count} each: known {medians['known']:.1f} ms, unknown {medians['unknown']:.1f} ms at the median")
    print(f"difference {difference:.1%} (limit {LIMIT:.0%})")
    for name in known:
        service.ask(f"/users/{name}", None, token["access_token"], "DELETE")
    return 0 if difference < LIMIT else 1


def add_users(service: Service, token: str, count: int) -> list[str]:
    """So many users with names and passwords that nobody knows."""
    names = [f"timing{secrets.token_hex(4)}" for _ in range(count)]
    for name in names:
        answer = service.ask("/users", {"username": name, "password": secrets.token_urlsafe(18)}, token)
        assert answer.status_code == 201, answer.text  # noqa: S101
    return names


class Service:
    """authsvc, from another address each time: its limit per address is not what is measured here."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._secret = secret
        self._session = requests.Session()
        self._session.trust_env = False

    def ask(self, path: str, body: object, token: str = "", method: str = "POST") -> requests.Response:
        """Call it as webapp does."""
        address = f"2001:db8:{secrets.randbelow(65536):x}:{secrets.randbelow(65536):x}::1"
        headers = {"X-Service-Secret": self._secret, "X-Client-Address": address}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self._session.request(method, f"{self._url}/api/v1{path}", json=body, headers=headers, timeout=60)


if __name__ == "__main__":
    sys.exit(main())
