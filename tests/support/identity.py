"""authsvc behind a real socket and webapp workers that trust it, in this process, on the real users' replica set."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import requests
from werkzeug.serving import WSGIRequestHandler, make_server

from authsvc.app import create_app as create_authsvc
from prodcore.identity.rights import Role
from prodcore.identity.tokens import Identity, issue
from prodcore.identity.users import seal
from prodcore.settings import load_settings
from webapp.app import create_app as create_webapp

SERVICE_SECRET = "service-secret-of-the-tests-0123456789"
SESSION_SECRET = "session-secret-of-the-tests-0123456789"
SETUP_CODE = "AAAAA-22222-BBBBB-33333"
ADMIN, PASSWORD = "Root", "plum tractor silently 77"
OTHER_PASSWORD = "gusano verde trepador 99"
TIMEOUT_SECONDS = 30
BCRYPT_COST = 10  # the least that the settings allow: these tests are about other things than work


class _QuietHandler(WSGIRequestHandler):
    def log(self, *_args):
        pass


class AuthService:
    """authsvc on a port of its own; it can be stopped and started again there."""

    def __init__(self, settings):
        self.app = create_authsvc(settings)
        self.provider = self.app.extensions["service"]
        self._port = 0
        self._server = None
        self.proofs = {}
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"

    @property
    def service(self):
        return self.provider.get()

    def start(self):
        self._server = make_server("127.0.0.1", self._port, self.app, threaded=True, request_handler=_QuietHandler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self):
        if self._server:
            self._server.shutdown()
            self._thread.join(TIMEOUT_SECONDS)
            self._server.server_close()
            self._server = None

    @contextmanager
    def down(self):
        self.stop()
        try:
            yield
        finally:
            self.start()

    def call(self, method, path, body=None, *, token=None, secret=SERVICE_SECRET, address="192.0.2.1", **headers):
        """Ask authsvc as webapp does."""
        headers |= {"X-Service-Secret": secret, "X-Client-Address": address, "X-Request-ID": "test"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
            headers |= {"X-Proof": self.proofs[token]} if token in self.proofs else {}
        with requests.Session() as session:
            return session.request(
                method, f"{self.url}/api/v1{path}", json=body, headers=headers, timeout=TIMEOUT_SECONDS
            )

    def prove(self, token, password=None, **more):
        """Give the password once more; what is asked with this token from now on shows it."""
        answer = self.call("POST", "/account/proof", {"password": password or PASSWORD, **more}, token=token)
        if answer.status_code == 201:
            self.proofs[token] = answer.json()["proof"]
        return answer

    def set_up(self):
        """Make the first admin; the answer holds the tokens."""
        body = {"code": SETUP_CODE, "username": ADMIN, "password": PASSWORD}
        answer = self.call("POST", "/setup", body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def log_in(self, username=ADMIN, password=PASSWORD, **more):
        answer = self.call("POST", "/session/login", {"username": username, "password": password, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add(self, username, role="viewer", *, token):
        answer = self.call("POST", "/users", {"username": username, "password": PASSWORD, "role": role}, token=token)
        assert answer.status_code == 201, answer.text
        return answer.json()


class Clock:
    """A machine's clock, that tests put forward or back; for good, or inside a block."""

    def __init__(self):
        self.ahead = timedelta(0)

    def __call__(self):
        return datetime.now(UTC) + self.ahead

    @contextmanager
    def moved(self, by):
        before = self.ahead
        self.ahead += by
        try:
            yield
        finally:
            self.ahead = before


class Worker:
    """One webapp worker process, as far as identity goes: an app with a trust of its own."""

    def __init__(self, settings):
        self.clock = Clock()
        self.app = create_webapp(settings, clock=self.clock)
        self.proofs = {}
        """What shows, by token, that the password was given once more."""
        self.client, self.trust, _ = self.app.extensions["prodctl_identity"]

    def call(self, method, path, body=None, *, token=None, headers=None):
        """Call the REST API as a program."""
        sent = dict(headers or {})
        if token and token in self.proofs:
            sent.setdefault("X-Proof", self.proofs[token])
        if token:
            sent["Authorization"] = f"Bearer {token}"
        return self.app.test_client(use_cookies=False).open(f"/api/v1{path}", method=method, json=body, headers=sent)

    def status(self, token, path="/session"):
        return self.call("GET", path, token=token).status_code

    def close(self):
        for name in ("catalog", "drill_desk"):
            self.app.extensions[name].close()


def auth_settings(cluster, keys_dir, *, code_age=timedelta(0), **more):
    code_file = keys_dir.with_name("setup-code-sealed")
    code_file.write_text(seal(SETUP_CODE, datetime.now(UTC) - code_age))
    return load_settings(
        **cluster.addresses("auth"),
        auth_keys_dir=keys_dir,
        service_secret=SERVICE_SECRET,
        setup_code_file=code_file,
        **{"bcrypt_cost": BCRYPT_COST, **more},
    )


def web_settings(cluster, auth_url, **more):
    return load_settings(
        **cluster.addresses("web"),
        auth_server_url=auth_url,
        service_secret=SERVICE_SECRET,
        session_secret=SESSION_SECRET,
        **more,
    )


class Browser:
    """A person with cookies."""

    def __init__(self, worker, scheme="http"):
        self.client = worker.app.test_client()
        self.base = f"{scheme}://localhost"

    def get(self, path, **more):
        return self.client.get(path, base_url=self.base, **more)

    def post(self, path, form, page=None, **more):
        html = self.get(page or path).get_data(as_text=True)
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', html)
        data = {**form, **({"csrf_token": token[1]} if token else {})}
        headers = {"Referer": f"{self.base}{path}"}
        return self.client.post(path, data=data, base_url=self.base, headers=headers, **more)

    def log_in(self, **more):
        return self.post("/login", {"username": ADMIN, "password": PASSWORD, **more})

    def cookie(self, name="prodctl"):
        found = self.client.get_cookie(name, domain="localhost")
        return found.value if found else None


def forged(authsvc, tokens, *, ends_in, role=Role.VIEWER):
    """A genuine access token of a live session that ends at another moment."""
    now = datetime.now(UTC)
    ring = authsvc.service.ring
    identity = Identity(tokens["user"]["id"], ADMIN, role, tokens["session_id"], now + ends_in)
    key = ring.signing(now)
    return issue(identity, key.kid, key.private, now)
