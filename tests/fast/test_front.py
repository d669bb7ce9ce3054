"""Requests between the server and the app: every one is answered and ends, and so does its coroutine."""

import asyncio
from types import SimpleNamespace

import pytest

from prodcore.web.front import Front

DEADLINE = 30


class Headers(dict):
    """As the server gives them."""

    def items(self):
        return list(super().items())


class Connection:
    """What the server gives to answer with, and to read the body from."""

    def __init__(self, pieces=()):
        self.pieces = pieces
        self.answers = []

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece

    def response_bytes(self, status, headers, body):
        self.answers.append((status, body))

    def response_stream(self, status, headers):
        self.answers.append((status, b""))
        return self

    async def send_bytes(self, piece):
        status, sent = self.answers.pop()
        self.answers.append((status, sent + piece))


def request(path="/", **headers):
    return SimpleNamespace(
        headers=Headers({"host": "shop.example", **headers}),
        authority=None,
        path=path,
        method="POST" if headers else "GET",
        query_string="",
        client="127.0.0.1:50000",
        server="127.0.0.1:3000",
        http_version="1.1",
        scheme="http",
    )


def app(environ, start_response):
    """Answers at once, in pieces, with what it got, or not at all."""
    path = environ["PATH_INFO"]
    if path == "/broken":
        raise ArithmeticError("broken")
    pieces = [b"a", b"b", b"c"] if path == "/pieces" else [environ["wsgi.input"].read() or b"done"]
    start_response("200 OK", [] if path == "/pieces" else [("Content-Length", str(len(pieces[0])))])
    return pieces


def answered(*scopes, bodies=(), threads=2):
    """Ask all at once; the answers by request. Returns only when every coroutine has ended."""

    async def ask():
        front = Front(app, threads=threads, budget=DEADLINE)
        connections = [Connection(body) for body in bodies or [()] * len(scopes)]
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*map(front.__rsgi__, scopes, connections))
        return [connection.answers for connection in connections]

    return asyncio.run(ask())


def test_a_request_ends_when_its_answer_has_gone_out():
    assert answered(request()) == [[(200, b"done")]]


def test_more_requests_than_threads_are_all_answered_and_end():
    assert answered(*[request() for _ in range(50)]) == [[(200, b"done")]] * 50


def test_an_answer_in_pieces_and_one_at_once_go_out_side_by_side():
    assert answered(request("/pieces"), request(), request("/pieces")) == [
        [(200, b"abc")],
        [(200, b"done")],
        [(200, b"abc")],
    ]


def test_the_app_gets_the_whole_body_of_its_request():
    scope = request(**{"content-length": "6"})
    assert answered(scope, bodies=[(b"abc", b"def")]) == [[(200, b"abcdef")]]
    [[(status, _body)]] = answered(scope, bodies=[(b"abc",)])
    assert status == 400


def test_what_the_app_raises_reaches_the_server():
    with pytest.raises(ArithmeticError):
        answered(request("/broken"))
