"""What requests bring: addresses to go back to, hidden fields, drafts; and pages that renew themselves.

What is not from our pages gets 400.

Typed text is never lost. A form that cannot be carried out because the login has changed, or that is filled in while
another language is chosen, comes back as a *draft*: the view shows the form as it was typed and does nothing else.

A *live page* has a part that renews itself: by a stream of server-sent events, or the same part by polling. Every
stream holds one of the worker's threads, so there is room for a few only: a quarter of the threads. Whoever finds none
free gets 204 and polls, which takes a thread for some milliseconds a second. A stream ends after half a minute and the
browser opens another one: so the room is shared out anew, and a lost reader is noticed.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from flask import Flask, Response, current_app, flash, g, render_template, request, stream_with_context
from werkzeug.exceptions import BadRequest

from prodcore.errors import ProdError
from prodcore.settings import Settings
from webapp.identity import caller as identity

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_./?=&%+~-]*", re.ASCII)
_MAX_LENGTH = 2_000
MAX_UNPACKED_BYTES = 12_000_000
_NEVER_KEPT = frozenset(
    {
        *("csrf_token", "draft", "language", "theme"),
        *("password", "old_password", "new_password", "proof_password", "code", "proof_code"),
    }
)

View = TypeVar("View", bound=Callable[..., Any])


def safe_next(target: str | None, otherwise: str = "/") -> str:
    r"""The path to go to after a form, if it is a plain path of this site.

    >>> safe_next("/products?search=caf%C3%A9")
    '/products?search=caf%C3%A9'
    >>> [safe_next(evil) for evil in ("//evil.example", "/\\evil", "/\t/evil", "https://evil.example", "/a\r\nX: y")]
    ['/', '/', '/', '/', '/']
    """
    if not target or len(target) > _MAX_LENGTH or target.startswith("//") or not _PLAIN_PATH.fullmatch(target):
        return otherwise
    return target


def with_query(path: str, **query: Any) -> str:
    """``path`` with the parameters that are not empty; a list repeats its parameter.

    >>> with_query("/products", search="café", cursor="")
    '/products?search=caf%C3%A9'
    >>> with_query("/products", tag=["bio", "new"])
    '/products?tag=bio&tag=new'
    """
    given = {name: value for name, value in query.items() if value not in (None, "", [])}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def posted_number(name: str) -> int:
    """A whole number. Raises BadRequest."""
    text = request.form.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise BadRequest
    return int(text)


def posted_uuid(name: str) -> UUID:
    """An id. Raises BadRequest."""
    try:
        return UUID(request.form.get(name, ""))
    except ValueError:
        raise BadRequest from None


def pack(content: bytes) -> str:
    """Bytes as a form carries them."""
    return base64.urlsafe_b64encode(gzip.compress(content, 6, mtime=0)).decode()


def unpack(text: str) -> bytes:
    """Raises BadRequest; what would unfold to more than any form may hold is refused, not unfolded."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(base64.urlsafe_b64decode(text))) as file:
            content = file.read(MAX_UNPACKED_BYTES + 1)
    except (binascii.Error, ValueError, OSError, EOFError, zlib.error):
        raise BadRequest from None
    if len(content) > MAX_UNPACKED_BYTES:
        raise BadRequest
    return content


def pack_json(value: Any) -> str:
    """JSON values as a form carries them."""
    return pack(json.dumps(value, ensure_ascii=False).encode())


def unpack_json(text: str) -> Any:
    """Not to be trusted. Raises BadRequest."""
    try:
        return json.loads(unpack(text))
    except (ValueError, RecursionError):
        raise BadRequest from None


def is_partial() -> bool:
    """Whether a script asks for a part of a page (htmx)."""
    return request.headers.get("HX-Request") == "true"


def flash_change(text: str, product_id: UUID, version: int, kind: str = "done") -> None:
    """Tell on the next page what was done, with a button that undoes the change that made this version; 0 for none."""
    flash(text, f"{kind}:{product_id}:{version}" if version else kind)


EVENTS = "text/event-stream"


def is_event_stream() -> bool:
    """Whether a script asks for a stream of events (server-sent events)."""
    return EVENTS in request.accept_mimetypes.values()


class Draft(NamedTuple):
    """What somebody typed into a form, and the path that the form is sent to."""

    path: str
    fields: list[tuple[str, str]]

    def packed(self) -> str:
        """The draft as a form carries it."""
        return pack_json(self)

    @classmethod
    def unpacked(cls, text: str) -> Draft:
        """Raises BadRequest."""
        try:
            path, fields = unpack_json(text)
            draft = cls(safe_next(path), [(str(name), str(value)) for name, value in fields])
        except (ValueError, TypeError):
            raise BadRequest from None
        return draft


def keeps_drafts(view: View) -> View:
    """Mark a view that shows its form again, and does nothing else, where ``is_draft()``."""
    view.keeps_drafts = True  # type: ignore[attr-defined]
    return view


def can_be_draft() -> bool:
    """Whether this request may come back as a draft; one that is too large cannot be read."""
    if (request.content_length or 0) > (request.max_content_length or 0):
        return False
    view = current_app.view_functions.get(request.endpoint or "")
    return request.method == "POST" and not is_partial() and getattr(view, "keeps_drafts", False)


def is_draft() -> bool:
    """Whether the form is to be shown as it was typed, and nothing is to be done."""
    return "draft" in g or "draft" in request.form


def typed_draft(path: str) -> Draft:
    """What this request brings, without what no page may keep."""
    fields = [(name, value) for name, value in request.form.items(multi=True) if name not in _NEVER_KEPT]
    return Draft(path, fields)


def came_from() -> str:
    """The page that the visitor looked at: this one, or the one whose form was sent; empty where that is not known."""
    if request.method == "GET" and not is_partial():
        return request.full_path.rstrip("?")
    page = urlsplit(request.referrer or "")
    if page.netloc != request.host:
        return ""
    return safe_next(f"{page.path}?{page.query}" if page.query else page.path, "")


STREAM_SECONDS = 30.0
_SIGN_OF_LIFE_SECONDS = 2.0

Wait = Callable[[int, float], int]
"""Waits until there is news with a greater number, or the time is up; returns the newest number."""


def install_live(app: Flask, settings: Settings) -> None:
    """Make room for streams in this process."""
    app.extensions["streams"] = threading.Semaphore(settings.threads // 4)


def live_page(page: str, part: str, context: Callable[[], dict[str, Any]], wait: Wait) -> Response | str:
    """A page, the part of it that renews itself, or a stream of that part, as the browser asks."""
    if not is_event_stream():
        return render_template(part if is_partial() else page, **context())
    room = cast("threading.Semaphore", current_app.extensions["streams"])
    if not room.acquire(blocking=False):
        return Response(status=204)
    events = _events(lambda: render_template(part, **context()), wait)
    response = Response(stream_with_context(events), content_type=f"{EVENTS}; charset=utf-8")
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(room.release)
    return response


def _events(render: Callable[[], str], wait: Wait) -> Iterator[str]:
    ends = time.monotonic() + STREAM_SECONDS
    seen, shown = 0, ""
    while time.monotonic() < ends and identity.is_still_logged_in():
        try:
            part = render()
        except ProdError:
            return  # the polling that follows shows it
        yield "event: still\ndata:\n\n" if part == shown else _event(part)
        shown = part
        seen = wait(seen, _SIGN_OF_LIFE_SECONDS)


def _event(part: str) -> str:
    r"""A part as an event.

    >>> _event("<p>\n</p>")
    'event: part\ndata: <p>\ndata: </p>\n\n'
    """
    lines = "".join(f"data: {line}\n" for line in part.splitlines())
    return f"event: part\n{lines}\n"
