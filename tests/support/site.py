"""The whole system as it is installed: three replica sets, authsvc and webapp, and people who may log in."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pymongo
import requests

from prodcore.app.wiring import prepare_cluster
from prodcore.local import GUARD, LocalCluster, LocalPlan, drill_runner, find_free_ports, services_for
from prodcore.settings import load_settings

ADMIN = "Ana"
PASSWORD = "sandía caballo grapa correcta"  # long enough and nothing to guess
TIMEOUT_SECONDS = 20
_CHEAP_LOGINS = (("PRODCTL_BCRYPT_COST", "10"),)
_FRESH_SECONDS = 600
"""An access token lives for 900."""


@dataclass(frozen=True)
class Site:
    """A running system. ``people`` may log in under the name of their role with PASSWORD; the admin is ADMIN."""

    cluster: LocalCluster
    _tokens: dict[str, tuple[float, str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.cluster.plan.ports.web}"

    def call(self, method, path, body=None, *, token=None, **headers):
        """Call the REST API and return the answer."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return requests.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers, timeout=TIMEOUT_SECONDS)

    def prove(self, token, password=PASSWORD):
        """The header of who has given the password once more."""
        answer = self.call("POST", "/account/proof", {"password": password}, token=token)
        answer.raise_for_status()
        return {"X-Proof": answer.json()["proof"]}

    def make_admin(self):
        """The first admin, with the setup code."""
        body = {"code": self.cluster.setup_code(), "username": ADMIN, "password": PASSWORD}
        self.call("POST", "/setup", body).raise_for_status()

    def token(self, username=ADMIN):
        """An access token. One login serves all tests of a user for a while: it costs processor time."""
        logged_in_at, token = self._tokens.get(username, (0.0, ""))
        if not token or time.monotonic() - logged_in_at > _FRESH_SECONDS:
            token = self.log_in(username)
            self._tokens[username] = time.monotonic(), token
        return token

    def log_in(self, username=ADMIN):
        """An access token of a login that nobody else uses."""
        answer = self.call("POST", "/session/login", {"username": username, "password": PASSWORD})
        answer.raise_for_status()
        return answer.json()["access_token"]

    def add_person(self, role):
        """Somebody named after their role."""
        body = {"username": role, "password": PASSWORD, "role": role}
        answer = self.call("POST", "/users", body, token=self.token())
        assert answer.status_code in (201, 409), answer.text
        return role

    def add_people(self):
        """One of each role that the first admin does not have."""
        for role in ("viewer", "editor", "operator"):
            self.add_person(role)

    def count_failed_logins(self, count):
        """So many have failed from the one address that all tests come from; what is free for it is 20."""
        with pymongo.MongoClient(self.cluster.addresses("root")["db3_url"].get_secret_value()) as client:
            client.auth_db.attempts.replace_one(
                {"_id": "address:127.0.0.1"}, {"count": count, "last_at": datetime.now(UTC)}, upsert=True
            )

    def add_product(self, **fields):
        """A product, made by the admin; returns it as the API shows it."""
        answer = self.call("POST", "/products", {"price": "1.20", **fields}, token=self.token())
        assert answer.status_code == 201, answer.text
        return answer.json()


def start_site(directory: Path, *, guard: bool = False) -> Site:
    ports = find_free_ports()
    daemons = (drill_runner(directory), GUARD) if guard else (drill_runner(directory),)
    cluster = LocalCluster(
        LocalPlan(directory, ports, services_for(ports, workers=1, threads=8), daemons, auth_settings=_CHEAP_LOGINS)
    )
    try:
        cluster.up(when_writable=lambda: prepare_cluster(load_settings(**cluster.addresses("root"))))
    except BaseException:
        cluster.destroy()  # no fixture will: it has not begun
        raise
    return Site(cluster)


def is_problem(answer, status, code=None):
    problem = answer.json()
    assert answer.status_code == status, problem
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["type"] == f"urn:prodctl:error:{problem['code']}"
    assert "Traceback" not in answer.text
    assert "pymongo" not in answer.text
    assert code is None or problem["code"] == code
    return problem
