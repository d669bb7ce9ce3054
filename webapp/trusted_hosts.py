"""Answer only to names that are ours: a foreign Host could end up in an address that we make, or in a shared cache."""

from __future__ import annotations

from flask import Flask, Response, request
from werkzeug.exceptions import SecurityError

from prodcore.settings import Settings
from prodcore.web.problem import problem_response


def install_trusted_hosts(app: Flask, settings: Settings) -> None:
    """Refuse requests for other hosts than the setting names, with 400; a leading dot admits subdomains."""
    names = [name.strip() for name in settings.trusted_hosts.split(",") if name.strip()]
    if not names:
        return
    # By its own address it is called in its private network; health checks come from its machine.
    app.config["TRUSTED_HOSTS"] = [*names, settings.bind, "localhost", "127.0.0.1", "[::1]"]

    def refuse() -> Response | None:
        if isinstance(request.routing_exception, SecurityError):
            return problem_response(request.routing_exception)
        return None

    app.before_request(refuse)
