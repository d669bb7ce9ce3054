"""What browsers are told with every answer, cookies and log lines; all of it without a database and without authsvc."""

import asyncio
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
from flask import g
from flask.json.tag import TaggedJSONSerializer
from itsdangerous import URLSafeTimedSerializer
from pydantic import SecretStr

from prodcore.errors import NotAuthenticated, ServiceUnavailable
from prodcore.identity.routes import IDENTITY_ROUTES
from prodcore.settings import Settings
from prodcore.web.front import Front
from prodctl.client.api import ApiClient
from tests.support.identity import SERVICE_SECRET, SESSION_SECRET
from webapp.app import create_app
from webapp.identity.auth_client import LoginGate
from webapp.pages.forms import typed_draft

NOBODY_LISTENS = "http://127.0.0.1:9"


def made():
    return create_app(
        Settings(auth_server_url=NOBODY_LISTENS, service_secret=SERVICE_SECRET, session_secret=SESSION_SECRET)
    )


@pytest.fixture(scope="module")
def webapp():
    return made()


def answer_of_front(**headers):
    """What the front itself answers to a request that the app never sees."""
    sent = {}
    scope = SimpleNamespace(
        method="GET",
        path="/",
        authority=None,
        client="192.0.2.1:50000",
        headers=SimpleNamespace(keys=lambda: list(headers), items=headers.items, get=headers.get),
    )
    protocol = SimpleNamespace(
        response_bytes=lambda status, given, body: sent.update(status=status, headers=dict(given), body=body)
    )
    asyncio.run(Front(None, threads=1, budget=1.0).__rsgi__(scope, protocol))
    return sent


def test_a_refusal_before_the_app_can_be_framed_and_read_as_nothing_else():
    refused = answer_of_front(host="one.example,two.example")
    assert refused["status"] == 400
    assert "frame-ancestors 'none'" in refused["headers"]["content-security-policy"]
    assert refused["headers"]["x-content-type-options"] == "nosniff"


def test_a_login_turned_away_at_the_door_can_be_framed_and_read_as_nothing_else():
    begun = []
    guarded = LoginGate(0).guard(None)
    environ = {"PATH_INFO": "/api/v1/session/login", "REQUEST_METHOD": "POST"}
    body = b"".join(guarded(environ, lambda status, headers: begun.extend([status, dict(headers)])))
    assert begun[0].startswith("503")
    assert json.loads(body)["code"] == "service_unavailable"
    assert "frame-ancestors 'none'" in begun[1]["content-security-policy"]
    assert begun[1]["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/login", "/healthz", "/api/v1/products", "/no/such/page"])
def test_every_answer_carries_the_policy_and_over_https_the_order_to_stay_there(webapp, path):
    plain = webapp.test_client().get(path).headers
    secure = webapp.test_client().get(path, base_url="https://localhost").headers
    assert "Strict-Transport-Security" not in plain
    assert secure["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    for name, value in [
        ("Content-Security-Policy", "default-src 'none'"),
        ("Content-Security-Policy", "base-uri 'none'"),
        ("Content-Security-Policy", "frame-ancestors 'none'"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    ]:
        assert value in plain[name], name


def test_no_answer_lets_another_origin_read_it(webapp):
    asked = webapp.test_client().options("/api/v1/products", headers={"Origin": "https://evil.example"})
    assert [name for name, _value in asked.headers if name.startswith("Access-Control")] == []


def test_trace_is_no_method_of_ours(webapp):
    assert webapp.test_client().open("/login", method="TRACE").status_code == 405


def test_each_cookie_is_bound_to_the_host_over_https(webapp):
    client = webapp.test_client()
    page = client.get("/login", base_url="https://localhost").get_data(as_text=True)
    token = page.split('name="csrf_token"')[1].split('value="')[1].split('"')[0]
    form = {"language": "es", "theme": "dark", "csrf_token": token}
    chosen = client.post(
        "/preferences", data=form, base_url="https://localhost", headers={"Referer": "https://localhost/login"}
    )
    cookies = chosen.headers.getlist("Set-Cookie")
    assert {cookie.split("=")[0] for cookie in cookies} >= {"__Host-language", "__Host-theme"}
    for cookie in cookies:
        assert all(word in cookie for word in ("__Host-", "Secure", "HttpOnly", "SameSite=Lax", "Path=/")), cookie
    assert 'lang="es"' in client.get("/login", base_url="https://localhost").get_data(as_text=True)


def test_a_session_is_signed_with_sha_256(webapp):
    client = webapp.test_client()
    client.get("/login")
    value = client.get_cookie("prodctl").value
    signing = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    signed = URLSafeTimedSerializer(SESSION_SECRET, "cookie-session", TaggedJSONSerializer(), signer_kwargs=signing)
    assert "csrf_token" in signed.loads(value)


def test_a_log_line_tells_who_asked_and_how_it_ended(capfd):
    webapp = made()  # it writes to the stdout of its beginning
    with webapp.test_request_context("/users"):
        g.identity = SimpleNamespace(username="ana", may=lambda _right: False)
        answer = webapp.full_dispatch_request()
    line = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert answer.status_code == 403
    assert (line["by"], line["status"], line["path"], line["method"]) == ("ana", 403, "/users", "GET")
    assert {"timestamp", "client", "request_id"} <= set(line)


def test_no_path_of_a_request_makes_a_second_line_in_the_log(capfd):
    made().test_client().get("/no%0A%7B%22by%22:%22root%22%7D%1B[2J")
    (line,) = capfd.readouterr().out.splitlines()
    assert (json.loads(line)["path"], json.loads(line)["by"]) == ('/no\n{"by":"root"}\x1b[2J', "")


def test_no_secret_travels_in_an_address():
    queries = [row.query for row in IDENTITY_ROUTES if row.query]
    assert queries
    assert [f for query in queries for f in query.model_fields.values() if f.annotation is SecretStr] == []
    assert {name for row in IDENTITY_ROUTES for name in re.findall("<([a-z_]+)>", row.rule)} == {
        "session_id",
        "username",
        "name",
    }


def test_no_password_that_was_asked_for_again_is_kept_in_a_page(webapp):
    form = {"name": "cron", "proof_password": "plum tractor", "proof_code": "123456", "password": "x", "code": "1"}
    with webapp.test_request_context("/tokens", method="POST", data=form):
        assert typed_draft("/tokens").fields == [("name", "cron")]


def test_without_a_session_nothing_but_the_public_rows_is_answered(webapp):
    answer = webapp.test_client().get("/api/v1/products")
    assert answer.status_code == 401
    assert answer.get_json()["code"] == NotAuthenticated.code


def test_prodctl_follows_nobody_elsewhere_and_says_where_it_was_sent():
    asked = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args):
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        client = ApiClient(Settings(url=f"http://127.0.0.1:{server.server_port}"))
        with pytest.raises(ServiceUnavailable, match="redirects to /elsewhere"):
            client.call("GET", "/products", authenticate=False)
    assert asked == ["/api/v1/products"]
