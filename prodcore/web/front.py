"""Between granian and the WSGI app: a thread is given to a request when the whole of it is here.

The thread hands the answer to granian itself: going back to the event loop for that would cost as much as a small
request does. The loop is only told later, with others, that the request is done.

granian's event loop holds the connections: those that are idle, that send their head or body byte by byte, that read
their answer slowly. None of them has a thread, so that a thousand of them cost others nothing. A body must arrive
within the budget of its request, and what all unfinished bodies hold together is bounded, for each address and in all.
What can be read in two ways, or names us in a way that we do not answer to, is refused before the app sees it.
"""

from __future__ import annotations

import asyncio
import contextvars
import io
import re
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from prodcore.web.problem import BARE_POLICY, code_of
from prodcore.web.strict_json import dump

T = TypeVar("T")
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]

STARTED = "prodctl.started"
"""In the environ: when the head of the request was here, by ``time.monotonic``."""

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a request's body."""
_ALL_BODIES = 2 * MAX_BODY
"""Bytes of all bodies that are not whole yet, in this process; one address may have half of it."""
_MOST_DISCARDED = 64 * 1024 * 1024
"""Bytes that a browser may send for nothing, so that it shows why."""
_READ_SECONDS = 30.0
"""How long a reader may take for one piece of a streamed answer."""
_SETTLED_SECONDS = 0.1
"""How long after its answer a request may be kept in the event loop."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_UNREADABLE = "\xc3\xbf"
"""Stands for the value of a header that is not ASCII, of which granian tells the name alone: it was given."""


def request_id(given: str) -> str:
    """What a request is called: as its client calls it where that is a plain word, else by a word of ours."""
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


class _Refused(Exception):
    """The request gets this status, and its connection ends."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class _Streamed(NamedTuple):
    """An answer that comes in pieces."""

    status: int
    headers: Headers
    first: bytes
    rest: Iterator[bytes]
    whole: Iterable[bytes]
    """What is to be closed at the end."""


_SENT = _Streamed(0, [], b"", iter(()), ())
"""Instead of an answer that has gone out whole."""


class Front:
    """An RSGI application around a WSGI app, for one worker process. ``budget`` is a request's, in seconds."""

    def __init__(self, app: App, *, threads: int, budget: float) -> None:
        self._app = app
        self._budget = budget
        self._threads = _Threads(threads)
        self._held: Counter[str] = Counter()

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer a request."""
        try:
            names = _refuse_ambiguous(scope)
            started = time.monotonic()
            body = await self._body(scope, names, protocol)
        except _Refused as refused:
            if refused.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and _wants_page(scope):
                await self._answer_too_large(scope, protocol)
                return
            name = request_id(scope.headers.get("x-request-id", ""))
            headers = [*_PROBLEM_HEADERS, ("x-request-id", name)]
            protocol.response_bytes(refused.status, headers, _problem(refused, name))
            return
        await self._answer(_environ(scope, names, body) | {STARTED: started}, protocol)

    async def _answer_too_large(self, scope: Any, protocol: Any) -> None:
        """Let the app say in a page what it says of any body that is too large; it gets nothing of this one.

        A browser listens when it has sent everything, so what is not out of all measure is read and thrown away.
        """
        size = 0
        with suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(self._budget):
                async for piece in protocol:
                    size += len(piece)
                    if size > _MOST_DISCARDED:
                        break
        environ = _environ(scope, scope.headers.keys(), b"") | {STARTED: time.monotonic()}
        await self._answer(environ | {"CONTENT_LENGTH": str(MAX_BODY + 1)}, protocol)

    async def _answer(self, environ: dict[str, Any], protocol: Any) -> None:
        context = contextvars.copy_context()  # all steps of an answer run in it, whichever thread takes them
        streamed = await self._threads.run(context, _reply, self._app, environ, protocol)
        if streamed is not _SENT:
            await self._stream(streamed, protocol, context)

    async def _body(self, scope: Any, names: Sequence[str], protocol: Any) -> bytes:
        """The whole body. Raises _Refused for one that is too large, or takes too long."""
        if "content-length" not in names and "transfer-encoding" not in names:
            return b""
        length = scope.headers.get("content-length", "0")
        if length == "0" and "transfer-encoding" not in names:
            return b""
        if len(length) > 12 or int(length) > MAX_BODY:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {MAX_BODY} bytes")
        address = _host(scope.client)
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._budget):
                async for piece in protocol:
                    size += len(piece)
                    self._held[address] += len(piece)
                    self._held[""] += len(piece)
                    self._refuse_too_much(address, size)
                    pieces.append(piece)
        except TimeoutError:
            raise _Refused(HTTPStatus.REQUEST_TIMEOUT, f"The body did not arrive within {self._budget:g} s") from None
        finally:
            self._held[""] -= size
            self._held[address] -= size
            if self._held[address] <= 0:
                del self._held[address]
        if "content-length" in names and size != int(length):
            raise _Refused(HTTPStatus.BAD_REQUEST, "The body is not as long as its Content-Length says")
        return b"".join(pieces)

    def _refuse_too_much(self, address: str, size: int) -> None:
        if size > MAX_BODY:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is larger than {MAX_BODY} bytes")
        if self._held[address] > _ALL_BODIES // 2 or self._held[""] > _ALL_BODIES:
            raise _Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, "Too many request bodies are arriving: try again in a moment"
            )

    async def _stream(self, answer: _Streamed, protocol: Any, context: contextvars.Context) -> None:
        """Send pieces as they come, each when the one before was taken."""
        try:
            transport = protocol.response_stream(answer.status, answer.headers)
            piece: bytes | None = answer.first
            while piece is not None:
                async with asyncio.timeout(_READ_SECONDS):
                    await transport.send_bytes(piece)
                piece = await self._threads.run(context, _next, answer.rest)
        except (TimeoutError, RuntimeError):  # granian's errors for a connection that is gone are RuntimeErrors
            pass
        finally:
            await self._threads.run(context, _close, answer.whole)


class _Threads:
    """So many threads for steps that may wait."""

    def __init__(self, count: int) -> None:
        self._steps: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._sent: deque[asyncio.Future[Any]] = deque()
        """Requests that are answered, of which the event loop has not heard yet."""
        self._under_way = 0
        self._is_to_look = False
        """Whether the event loop will look for those."""
        for number in range(count):
            threading.Thread(target=self._work, name=f"request_{number}", daemon=True).start()

    async def run(self, context: contextvars.Context, step: Callable[..., T], *arguments: Any) -> T:
        """Run a step in one of the threads and return its result; ``_SENT`` a little later. Raises what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._settle()
        self._under_way += 1
        if not self._is_to_look:
            self._is_to_look = True
            loop.call_later(_SETTLED_SECONDS, self._look, loop)
        self._steps.put(lambda: self._run(loop, future, context, step, arguments))
        try:
            result: T = await future
        finally:
            self._under_way -= 1
        return result

    def _work(self) -> None:
        while True:
            self._steps.get()()

    def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Any],
        context: contextvars.Context,
        step: Callable[..., Any],
        arguments: Sequence[Any],
    ) -> None:
        try:
            result = context.run(step, *arguments)
        except BaseException as error:  # noqa: BLE001  raised where it is waited for
            loop.call_soon_threadsafe(_fail, future, error)
            return
        if result is _SENT:
            self._sent.append(future)
        else:
            loop.call_soon_threadsafe(_settle, future, result)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._settle()
        self._is_to_look = self._under_way > 0
        if self._is_to_look:
            loop.call_later(_SETTLED_SECONDS, self._look, loop)

    def _settle(self) -> None:
        while self._sent:
            _settle(self._sent.popleft(), _SENT)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _wants_page(scope: Any) -> bool:
    return "text/html" in scope.headers.get("accept", "")


def _refuse_ambiguous(scope: Any) -> list[str]:
    """The names of the headers. Raises _Refused for what no client of ours sends."""
    names: list[str] = scope.headers.keys()
    items = scope.headers.items()
    hosts = [value for name, value in items if name == "host"]
    if scope.authority is not None or not scope.path.startswith("/"):
        raise _Refused(HTTPStatus.BAD_REQUEST, "The address of a request begins with a slash")
    if len(hosts) != 1 or not hosts[0] or "," in hosts[0]:
        raise _Refused(HTTPStatus.BAD_REQUEST, "A request names one Host")
    encodings = [value.strip().lower() for name, value in items if name == "transfer-encoding"]
    if encodings not in ([], ["chunked"]) or (encodings and "content-length" in names):
        raise _Refused(HTTPStatus.BAD_REQUEST, "The length of the body is ambiguous")
    if sum(name == "content-length" for name, _value in items) > 1:
        raise _Refused(HTTPStatus.BAD_REQUEST, "The length of the body is ambiguous")
    return names


def _environ(scope: Any, names: Sequence[str], body: bytes) -> dict[str, Any]:
    """What WSGI (PEP 3333) says of a request."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "REMOTE_ADDR": _host(scope.client),
        "REMOTE_PORT": scope.client.rpartition(":")[2],
        "SERVER_NAME": _host(scope.server),
        "SERVER_PORT": scope.server.rpartition(":")[2],
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    unreadable = [(name, _UNREADABLE) for name in names if scope.headers.get(name) is None]
    for name, value in [*scope.headers.items(), *unreadable]:
        if name == "content-type":
            environ["CONTENT_TYPE"] = value
        elif name not in ("content-length", "transfer-encoding") and "_" not in name:
            key = _key(name)
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def _reply(app: App, environ: dict[str, Any], protocol: Any) -> _Streamed:
    """Run the app and send its answer; one of several pieces is given back to be streamed."""
    begun: list[Any] = []

    def start_response(status: str, headers: Headers, *_exc_info: Any) -> Callable[[bytes], None]:
        begun[:] = [int(status[:3]), [(_lower(name), value) for name, value in headers]]
        raise_write: Callable[[bytes], None] = _no_write
        return raise_write

    pieces = app(environ, start_response)
    iterator = iter(pieces)
    first = next(iterator, b"")
    status, headers = begun
    length = next((value for name, value in headers if name == "content-length"), "")
    if environ["REQUEST_METHOD"] == "HEAD" or length == str(len(first)) or not first:
        _close(pieces)
        protocol.response_bytes(status, headers, first)
        return _SENT
    return _Streamed(status, headers, first, iterator, pieces)


@lru_cache(maxsize=1_000)
def _lower(name: str) -> str:
    return name.lower()


@lru_cache(maxsize=1_000)
def _key(header: str) -> str:
    """What WSGI calls it."""
    return f"HTTP_{header.upper().replace('-', '_')}"


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)


def _close(pieces: Iterable[bytes]) -> None:
    close = getattr(pieces, "close", None)
    if close is not None:
        close()


def _no_write(_data: bytes) -> None:
    raise NotImplementedError("answers are returned, not written")


def _host(address: str) -> str:
    """The host of ``host:port``.

    >>> _host("127.0.0.1:3000"), _host("[::1]:3000")
    ('127.0.0.1', '::1')
    """
    return address.rpartition(":")[0].strip("[]")


_PROBLEM_HEADERS = [
    ("content-type", "application/problem+json"),
    ("cache-control", "no-store"),
    *BARE_POLICY,
    ("connection", "close"),
]


def _problem(refused: _Refused, name: str) -> bytes:
    code = code_of(refused.status)
    return dump(
        {
            "type": f"urn:prodctl:error:{code}",
            "status": int(refused.status),
            "code": code,
            "title": refused.status.phrase,
            "detail": refused.detail,
            "request_id": name,
        }
    )
