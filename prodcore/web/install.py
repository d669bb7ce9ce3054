"""Set up an app: request ids, budgets, logs, metrics, health, errors."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from http import HTTPMethod
from typing import Any

import structlog
from flask import Flask, Response, current_app, g, request
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

_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"))

REQUESTS = Counter("prodctl_http_requests_total", "Requests answered", ("service", "method", "endpoint", "status"))
SECONDS = Histogram(
    "prodctl_http_request_seconds",
    "Seconds to answer",
    ("service", "endpoint"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

ReadyCheck = Callable[[], Mapping[str, str]]
"""Says of each thing the service stands on: "ok", or what is wrong with it."""


def install(
    app: Flask,
    settings: Settings,
    service: str,
    ready: ReadyCheck,
    html_page: Any = None,
    identification: Mapping[str, str] | None = None,
) -> None:
    """Give ``app`` everything that both services share.

    ``ready`` tells what the service stands on; ``html_page`` renders an error for people (see ``install_problems``);
    ``identification`` is what ``/healthz`` says of it besides, to everybody.
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
    app.before_request(_refuse_odd_requests)
    log = structlog.get_logger(service)
    app.after_request(lambda response: _finish(response, service, log))
    app.teardown_request(_close_budget)
    _install_health(app, ready, {"status": "ok", **(identification or {})}, is_public=settings.metrics == "public")


def _begin(budget_seconds: float) -> None:
    g.request_id = request_id(request.environ.get("HTTP_X_REQUEST_ID", ""))
    g.started = time.perf_counter()
    g.budget = ExitStack()  # a service may open an inner budget in it
    waited = time.monotonic() - request.environ.get(STARTED, time.monotonic())  # for its body, and for a thread
    g.budget.enter_context(budget(max(budget_seconds - waited, _LEAST_SECONDS)))


def _close_budget(_error: BaseException | None) -> None:
    stack = g.pop("budget", None)
    if stack is not None:
        stack.close()


def _refuse_odd_requests() -> None:
    """What no endpoint accepts: slashes in a row, of which the routes see one and we would judge the others.

    And what none of the API does: a body that is not JSON, a wish for another answer, a parameter twice.
    """
    if "//" in request.environ["PATH_INFO"]:  # request.path has one slash at its beginning, whatever was sent
        raise NotFound
    if request.url_rule is None or not request.path.startswith("/api/"):
        return  # an unknown path or method is answered as such
    if (request.content_length or request.method in ("PUT", "PATCH")) and request.mimetype not in _JSON_TYPES:
        raise UnsupportedMediaType("Send the body as application/json")
    answers = current_app.config.get("ANSWERS", {}).get(request.endpoint, _ANSWERS)
    if request.accept_mimetypes and request.accept_mimetypes.best_match(answers) is None:
        raise NotAcceptable(f"This can be answered as {' or '.join(answers)}")
    given = request.args.lists() if request.query_string else ()
    twice = [name for name, values in given if len(values) > 1 and name not in REPEATABLE]
    if twice:
        raise InvalidInput(problems=[Problem(name, "repeated", "is given more than once") for name in twice])


def _finish(response: Response, service: str, log: Any) -> Response:
    endpoint = request.endpoint or "none"
    method = request.method if request.method in _METHODS else "other"  # each label is kept for good
    seconds = time.perf_counter() - g.get("started", time.perf_counter())
    REQUESTS.labels(service, method, endpoint, response.status_code).inc()
    SECONDS.labels(service, endpoint).observe(seconds)
    add_missing(response, [("X-Request-ID", g.get("request_id", "")), *_HEADERS])
    if response.status_code >= 500 or endpoint not in ("healthz", "readyz", "metrics", "static"):
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
            request_id=g.get("request_id"),
            client=request.remote_addr,
            by=getattr(g.get("identity"), "username", ""),
        )
    return response


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


def add_missing(response: Response, headers: Iterable[tuple[str, str]]) -> None:
    """Add those that the answer does not have: ``setdefault`` for all of them in one look at what is there."""
    present = {name.lower() for name, _value in response.headers}
    for name, value in headers:
        if name.lower() not in present:
            response.headers.add(name, value)
