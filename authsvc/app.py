"""The app factory: everything that a test may want to replace is an argument."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask

from authsvc import api
from authsvc.callers import install_guard
from authsvc.service import ServiceProvider
from prodcore.deadline import budget
from prodcore.settings import Settings
from prodcore.web import install

READY_SECONDS = 2.0


def create_app(settings: Settings) -> Flask:
    """The login service. Raises ConfigError when the settings cannot work."""
    app = Flask("authsvc", static_folder=None)
    provider = ServiceProvider(settings)
    assert settings.service_secret is not None  # noqa: S101  ServiceProvider has checked it
    app.extensions["service"] = provider
    install(app, settings, "authsvc", lambda: _ready(provider))
    install_guard(app, settings.service_secret.get_secret_value())
    app.register_blueprint(api.blueprint)
    return app


def _ready(provider: ServiceProvider) -> Mapping[str, str]:
    """Whether the users can be read."""
    with budget(READY_SECONDS):
        provider.get().accounts.is_set_up()
    return {"users": "ok"}
