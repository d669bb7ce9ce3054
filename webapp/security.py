"""What browsers may do with our pages (load from here only, be framed by nobody), which names we answer to, and who is
shown what may be out of date: every answer that holds some of a shard without its majority says so.

The library's presets force https, which would break the plain http of a private network; hence a policy of our own.
Strict-Transport-Security is sent where the request came over https.
"""

from __future__ import annotations

from flask import Flask, Response, g, request
from secure import (
    ContentSecurityPolicy,
    CrossOriginOpenerPolicy,
    CrossOriginResourcePolicy,
    PermissionsPolicy,
    ReferrerPolicy,
    Secure,
    StrictTransportSecurity,
    XContentTypeOptions,
    XFrameOptions,
)
from werkzeug.exceptions import SecurityError

from prodcore.errors import ShardUnavailable
from prodcore.settings import Settings
from prodcore.support.request_notes import stale_reads
from prodcore.web.install import HeadersByScheme, current
from prodcore.web.problem import problem_response

_OWN = "'self'"
_NOBODY = "'none'"

_HTTPS_ONLY = StrictTransportSecurity().max_age(31_536_000).include_subdomains()


def _policy() -> ContentSecurityPolicy:
    return (
        ContentSecurityPolicy()
        .default_src(_NOBODY)
        .script_src(_OWN)
        .style_src(_OWN)
        .img_src(_OWN)
        .connect_src(_OWN)
        .font_src(_OWN)
        .form_action(_OWN)
        .base_uri(_NOBODY)
        .frame_ancestors(_NOBODY)
    )


_HEADERS = Secure(
    csp=_policy(),
    coop=CrossOriginOpenerPolicy().same_origin(),
    corp=CrossOriginResourcePolicy().same_origin(),
    permissions=PermissionsPolicy().camera().geolocation().microphone(),
    referrer=ReferrerPolicy().same_origin(),
    xcto=XContentTypeOptions().nosniff(),
    xfo=XFrameOptions().deny(),
)


def security_headers() -> HeadersByScheme:
    """What goes out with every answer of the app."""
    plain = tuple(_HEADERS.headers.items())
    return {"http": plain, "https": (*plain, (_HTTPS_ONLY.header_name, _HTTPS_ONLY.header_value))}


def install_trusted_hosts(app: Flask, settings: Settings) -> None:
    """Refuse requests for other hosts than the setting names, with 400; a leading dot admits subdomains.

    A foreign Host could end up in an address that we make, or in a shared cache.
    """
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


HEADER = "Stale-Shards"


def install_staleness(app: Flask) -> None:
    """Let whoever only looks see what is left of a shard that has lost its majority."""
    app.before_request(_allow)
    app.after_request(_say)
    app.jinja_env.globals["stale_shards"] = stale_shards


def stale_shards() -> list[str]:
    """The shards of which this request has read what may be out of date."""
    return sorted(g.get("stale", ()))


def refuse_stale() -> None:
    """Raise ShardUnavailable if there is one."""
    if shards := ", ".join(stale_shards()):
        raise ShardUnavailable(f"{shards} without a majority: this may be out of date", shard=shards)


def _allow() -> None:
    asked, notes = current()
    if asked.method in ("GET", "HEAD") and asked.blueprint:  # health asks whether everything can be done
        notes.stale = notes.budget.enter_context(stale_reads())


def _say(response: Response) -> Response:
    if shards := stale_shards():
        response.headers[HEADER] = ", ".join(shards)
    return response
