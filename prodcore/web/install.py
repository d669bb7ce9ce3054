"""Set up an app: request ids, budgets, logs, metrics, health, errors."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import cache
from http import HTTPMethod
from json.encoder import encode_basestring_ascii as quoted  # control characters cannot break out of it
from typing import Any

import structlog
from flask import Flask, Request, Response, current_app, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from werkzeug.exceptions import NotAcceptable, NotFound, UnsupportedMediaType
from werkzeug.middleware.proxy_fix import ProxyFix

from prodcore.deadline import budget
from prodcore.errors import Forbidden, InvalidInput, Problem, ProdError
from prodcore.settings import Settings
from prodcore.support.secure_files import LogOutput
from prodcore.web.front import MAX_BODY, STARTED, request_id
from prodcore.web.problem import install_problems
from prodcore.web.strict_json import REPEATABLE, RepeatingRequest, StrictJSON, json_response

_LEAST_SECONDS = 0.1
_METHODS = frozenset(HTTPMethod)
_LOOPBACK = ("127.0.0.1", "::1")
_JSON_TYPES = {"application/json", "application/merge-patch+json"}
_ANSWERS = ("application/json",)
"""What an endpoint of the API answers with, unless the app's ``ANSWERS`` has others for it."""

_QUIET = ("healthz", "readyz", "metrics", "static")
"""Endpoints that are asked again and again: of what they answer well the log says nothing."""

_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"))

REQUESTS = Counter("prodctl_http_requests_total", "Requests answered", ("service", "method", "endpoint", "status"))
SECONDS = Histogram(
    "prodctl_http_request_seconds",
    "Seconds to answer",
    ("service", "endpoint"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

HeadersByScheme = Mapping[str, Sequence[tuple[str, str]]]
"""By ``http`` and ``https``."""

ReadyCheck = Callable[[], Mapping[str, str]]
"""Says of each thing the service stands on: "ok", or what is wrong with it."""


def install(
    app: Flask,
    settings: Settings,
    service: str,
    ready: ReadyCheck,
    html_page: Any = None,
    identification: Mapping[str, str] | None = None,
    headers: HeadersByScheme | None = None,
) -> None:
    """Give ``app`` everything that both services share.

    ``ready`` tells what the service stands on; ``html_page`` renders an error for people (see ``install_problems``);
    ``identification`` is what ``/healthz`` says of it besides, to everybody; ``headers`` go out with every answer that
    has no others of these names.
    """
    app.json = StrictJSON(app)
    app.request_class = RepeatingRequest
    app.url_map.merge_slashes = False  # //products//new would be led on to another host, products
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY, MAX_FORM_PARTS=200)
    if settings.trusted_proxies:
        hops = settings.trusted_proxies
        # Not X-Forwarded-Host: tunnels pass on what the client says there. The Host itself reaches us as it was sent.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    _install_logs(settings.log_level)
    install_problems(app, html_page)
    app.before_request(lambda: _begin(settings.request_budget_seconds))
    notes = _Notes(service, headers or {}, logged=logging.getLevelNamesMapping()[settings.log_level] <= logging.INFO)
    app.after_request(notes.take)
    app.teardown_request(_close_budget)
    _install_health(app, ready, {"status": "ok", **(identification or {})}, is_public=settings.metrics == "public")


def current() -> tuple[Request, Any]:
    """The request of now and its ``g``: what Flask gives in their place looks them up again at every use."""
    return request._get_current_object(), g._get_current_object()  # type: ignore[attr-defined]


def _begin(budget_seconds: float) -> None:
    asked, notes = current()
    environ = asked.environ
    notes.request_id = request_id(environ.get("HTTP_X_REQUEST_ID", ""))
    notes.started = time.perf_counter()
    notes.budget = ExitStack()  # a service may open an inner budget in it
    waited = time.monotonic() - environ[STARTED] if STARTED in environ else 0.0  # for its body, and for a thread
    notes.budget.enter_context(budget(max(budget_seconds - waited, _LEAST_SECONDS)))
    _refuse_odd_requests(asked, environ)


def _close_budget(_error: BaseException | None) -> None:
    stack = g.pop("budget", None)
    if stack is not None:
        stack.close()


def _refuse_odd_requests(asked: Request, environ: Mapping[str, Any]) -> None:
    """What no endpoint accepts: slashes in a row, of which the routes see one and we would judge the others.

    And what none of the API does: a body that is not JSON, a wish for another answer, a parameter twice.
    """
    if "//" in environ["PATH_INFO"]:  # request.path has one slash at its beginning, whatever was sent
        raise NotFound
    if asked.url_rule is None or not asked.path.startswith("/api/"):
        return  # an unknown path or method is answered as such
    has_body = environ.get("CONTENT_LENGTH") and asked.content_length
    if (has_body or asked.method in ("PUT", "PATCH")) and asked.mimetype not in _JSON_TYPES:
        raise UnsupportedMediaType("Send the body as application/json")
    if environ.get("HTTP_ACCEPT", "*/*") != "*/*":
        answers = current_app.config.get("ANSWERS", {}).get(asked.endpoint, _ANSWERS)
        if asked.accept_mimetypes and asked.accept_mimetypes.best_match(answers) is None:
            raise NotAcceptable(f"This can be answered as {' or '.join(answers)}")
    given = asked.args.lists() if environ.get("QUERY_STRING") else ()
    twice = [name for name, values in given if len(values) > 1 and name not in REPEATABLE]
    if twice:
        raise InvalidInput(problems=[Problem(name, "repeated", "is given more than once") for name in twice])


class _Notes:
    """What is noted of every request: headers of its answer, metrics, a line in the log."""

    def __init__(self, service: str, headers: HeadersByScheme, *, logged: bool) -> None:
        self._service = service
        self._logged = logged
        self._output = LogOutput(sys.stdout)
        self._headers = {
            scheme: [(n, v, n.lower()) for n, v in {**dict(_HEADERS), **dict(headers.get(scheme, ()))}.items()]
            for scheme in ("http", "https")
        }

    def take(self, response: Response) -> Response:
        """Take them when the answer is ready."""
        asked, notes = current()
        endpoint, status = asked.endpoint or "none", response.status_code
        ended, request_id = time.perf_counter(), notes.get("request_id", "")
        seconds = ended - notes.get("started", ended)
        method = asked.method if asked.method in _METHODS else "other"  # each label is kept for good
        _count_of(self._service, method, endpoint, status).inc()
        _seconds_of(self._service, endpoint).observe(seconds)
        headers = response.headers
        present = {name.lower() for name, _value in headers}
        if "x-request-id" not in present:
            headers.add("X-Request-ID", request_id)
        for name, value, lower in self._headers["https" if asked.is_secure else "http"]:
            if lower not in present:
                headers.add(name, value)
        if self._logged and (status >= 500 or endpoint not in _QUIET):
            self._output.line(
                f'{{"method": {quoted(asked.method)}, "path": {quoted(asked.path)}, "status": {status}, '
                f'"ms": {seconds * 1000:.1f}, "request_id": {quoted(request_id)}, '
                f'"client": {quoted(asked.remote_addr or "")}, '
                f'"by": {quoted(getattr(notes.get("identity"), "username", ""))}, "event": "request", '
                f'"level": "info", "timestamp": "{datetime.now(UTC).replace(tzinfo=None).isoformat()}Z"}}'
            )
        return response


@cache
def _count_of(service: str, method: str, endpoint: str, status: int) -> Counter:
    return REQUESTS.labels(service, method, endpoint, status)


@cache
def _seconds_of(service: str, endpoint: str) -> Histogram:
    return SECONDS.labels(service, endpoint)


def _install_health(app: Flask, ready: ReadyCheck, alive: Mapping[str, str], *, is_public: bool) -> None:
    @app.get("/healthz")
    def healthz() -> Response:
        """The process lives."""
        return json_response(dict(alive))

    @app.get("/readyz")
    def readyz() -> Response:
        """The service can do its work: ready, degraded (part of it) or down."""
        try:
            checks = dict(ready())
        except ProdError as error:
            checks = {"service": error.message}
        well = sum(state == "ok" for state in checks.values())
        status = "ready" if well == len(checks) else "degraded" if well else "down"
        return json_response({"status": status, "checks": checks}, 200 if status == "ready" else 503)

    @app.get("/metrics")
    def metrics() -> Response:
        """Prometheus metrics of all worker processes together, for this machine unless the setting says otherwise."""
        if not is_public and not _is_local():
            raise Forbidden("metrics are for programs on this machine", hint="PRODCTL_METRICS=public opens them")
        registry: CollectorRegistry = REGISTRY
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    for view in (healthz, readyz, metrics):
        view._spec = {"hide": True}  # type: ignore[attr-defined]  # APIFlask: not part of the API document


def _is_local() -> bool:
    """Whether a program of this machine asks for itself, rather than a proxy here for somebody elsewhere."""
    peer = request.environ.get("werkzeug.proxy_fix.orig", request.environ).get("REMOTE_ADDR")
    forwarded = any(name in request.headers for name in ("Forwarded", "X-Forwarded-For"))
    return peer in _LOOPBACK and not forwarded


def _install_logs(level: str) -> None:
    """One JSON object a line on stdout; control characters cannot break out of it, and no answer depends on it."""
    output = LogOutput(sys.stdout)
    encode = json.JSONEncoder(default=repr).encode  # made once: json.dumps would make one for every line
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(lambda event, **_options: encode(event)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: output,
        cache_logger_on_first_use=True,
    )
