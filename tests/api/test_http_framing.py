"""Of a request whose length can be read in two ways nothing is taken for a second request (T27).

The server reads chunks where there is a length too, as RFC 9112 (6.3) allows, and ends the connection after its answer.
"""

import pytest

from tests.support.raw_http import exchange

BEHIND = b"GET /healthz?behind HTTP/1.1\r\nHost: localhost\r\n\r\n"
JSON = b"Content-Type: application/json\r\n"
LAST_CHUNK = b"0\r\n\r\n"

AMBIGUOUS = {
    "length, then chunks": (b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % (5 + len(BEHIND)), LAST_CHUNK),
    "chunks, then length": (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", LAST_CHUNK),
    "two lengths": (b"Content-Length: 2\r\nContent-Length: %d\r\n" % (2 + len(BEHIND)), b"{}"),
    "a list of lengths": (b"Content-Length: 2, 40\r\n", b"{}"),
    "a signed length": (b"Content-Length: +2\r\n", b"{}"),
    "a folded header": (b"X-Folded: a\r\n Transfer-Encoding: chunked\r\n", LAST_CHUNK),
    "a space before the colon": (b"Content-Length : 2\r\n", b"{}"),
    "an unknown encoding": (b"Transfer-Encoding: xchunked\r\n", LAST_CHUNK),
    "chunked is not the last encoding": (b"Transfer-Encoding: chunked, identity\r\n", LAST_CHUNK),
    "a chunk size that is none": (b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk that ends with a bare LF": (b"Transfer-Encoding: chunked\r\n", b"0\n\n"),
    "a NUL in a header": (b"X-Odd: a\0b\r\nContent-Length: 2\r\n", b"{}"),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
@pytest.mark.parametrize("service", ["webapp", "authsvc"])
def test_an_ambiguous_request_is_refused_and_ends_the_connection(site, service, case):
    headers, body = AMBIGUOUS[case]
    ports = site.cluster.plan.ports
    head = b"POST /api/v1/session/login HTTP/1.1\r\nHost: localhost\r\n" + JSON + headers + b"\r\n"
    answers = exchange(ports.web if service == "webapp" else ports.auth, head + body + BEHIND)
    assert [answer[:1] for answer in answers] == [b"4"]


def test_what_stands_behind_a_plain_request_is_answered(site):
    """So that one answer above means what it says."""
    answers = exchange(
        site.cluster.plan.ports.web, BEHIND + BEHIND.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    )
    assert [answer[:3] for answer in answers] == [b"200", b"200"]
