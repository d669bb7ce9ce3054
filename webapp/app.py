"""The app factory: everything that a test may want to replace is an argument."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import version
from typing import Any

from apiflask import APIFlask

from prodcore.deadline import budget
from prodcore.errors import Unavailable
from prodcore.settings import Settings
from prodcore.web import install
from webapp import api, pages
from webapp.identity.caller import install_identity
from webapp.identity.trust import utc_now
from webapp.live import CatalogProvider, ClusterPicture
from webapp.security import install_staleness, install_trusted_hosts, security_headers

READY_SECONDS = 2.0


class _App(APIFlask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """As it is: no view here is a coroutine, and Flask would look a dozen times a request."""
        return func


def create_app(
    settings: Settings, provider: CatalogProvider | None = None, clock: Callable[[], datetime] = utc_now
) -> APIFlask:
    """The dashboard and the REST API. Raises ConfigError when the settings cannot work."""
    app = _App("webapp", title="prodctl", version=version("prodctl"), spec_path="/api/openapi.json", docs_path=None)
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        INFO={"description": api.DESCRIPTION},
        SERVERS=[{"url": "/"}],
        VALIDATION_ERROR_STATUS_CODE=422,
        AUTO_404_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
    )
    app.security_schemes = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    catalog = provider or CatalogProvider(settings)
    app.extensions["catalog"] = catalog
    app.extensions["cluster_picture"] = ClusterPicture(settings, catalog)
    alive = {"instance": _instance(settings)}
    install(app, settings, "webapp", lambda: _ready(catalog), pages.error_page, alive, security_headers())
    install_trusted_hosts(app, settings)
    install_staleness(app)
    install_identity(app, settings, clock)
    api.register(app)
    pages.register(app, settings)
    return app


def _ready(provider: CatalogProvider) -> Mapping[str, str]:
    """Each shard by name: "ok", or that it does not answer."""
    with budget(READY_SECONDS):
        try:
            counts = provider.get().counts()
        except Unavailable as error:
            return {"shard map": error.message}
    return {c.shard: "ok" if c.products is not None else "does not answer" for c in counts}


def _instance(settings: Settings) -> str:
    """Which system this is, alike for all of its workers; nothing of the secret can be read from it."""
    if settings.session_secret is None:
        return ""
    secret = settings.session_secret.get_secret_value().encode()
    return hmac.new(secret, b"prodctl: which system is this?", hashlib.sha256).hexdigest()[:16]
