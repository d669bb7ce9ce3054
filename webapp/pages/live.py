"""Parts of pages that renew themselves: a stream of server-sent events, or the same part by polling.

Every stream holds one of the worker's threads, so there is room for a few only: a quarter of the threads. Whoever finds
none free gets 204 and polls, which takes a thread for some milliseconds a second. A stream ends after half a minute and
the browser opens another one: so the room is shared out anew, and a lost reader is noticed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from flask import Flask, Response, current_app, render_template, stream_with_context

from prodcore.errors import ProdError
from prodcore.settings import Settings
from webapp.identity import caller as identity
from webapp.pages.forms import EVENTS, is_event_stream, is_partial

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
