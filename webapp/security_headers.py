"""What browsers may do with our pages: load from here only, and be framed by nobody.

The library's presets force https, which would break the plain http of a private network; hence a policy of our own.
Strict-Transport-Security is sent where the request came over https.
"""

from __future__ import annotations

from flask import Flask, Response, request
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

from prodcore.web.headers import add_missing

_OWN = "'self'"
_NOBODY = "'none'"


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
_HTTPS_ONLY = StrictTransportSecurity().max_age(31_536_000)


def install_security_headers(app: Flask) -> None:
    """Send them with every answer of the app."""
    plain = tuple(_HEADERS.headers.items())
    secure = (*plain, (_HTTPS_ONLY.header_name, _HTTPS_ONLY.header_value))

    @app.after_request
    def add(response: Response) -> Response:
        add_missing(response, secure if request.is_secure else plain)
        return response
