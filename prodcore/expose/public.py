"""The hops that are seen from outside: this machine's port, the public address and what it must and must not show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prodcore.errors import ServiceUnavailable
from prodcore.expose import judge
from prodcore.expose.walk import Seen, Step
from prodcore.support.http import Answer, get, is_open, split

NO_PUBLIC = "no public address given (--url)"
_INSIDE = {"Host": "localhost"}  # webapp answers to this name, whatever else it is called
_NO_WARNING = {"ngrok-skip-browser-warning": "1"}  # else ngrok's free plan shows its own page first
_FIXES = {
    "name": "the tunnel has another name now, or none: scripts/tunnel says which",
    "refused": "start the tunnel: scripts/tunnel",
    "silent": "start the tunnel: scripts/tunnel; is a firewall in between?",
    "certificate": "the address must be the tunnel's own name, and its certificate in force",
    "protocol": "the tunnel must speak https at that address",
}
LOCAL_FIXES = {
    "refused": "prodctl local up; with VirtualBox in between: scripts/virtualbox-forward --run",
    "silent": "the port is forwarded to a machine that does not answer: is the VM up, and its proxy device there?",
    "protocol": "the port is forwarded, and nobody is behind it: is the proxy device there?",
}


@dataclass(slots=True)
class Met:
    """The system that was met on the way so far."""

    instance: str = ""


def same_instance(url: str, met: Met, fixes: Mapping[str, str], fix: str, headers: Mapping[str, str] = _INSIDE) -> Seen:
    """Whether the system that was met further inside answers here too; the first one met is the one that is meant."""
    try:
        answer = get(url, "/healthz", headers)
    except ServiceUnavailable as error:
        return Seen(False, error.message, fixes.get(error.details["reason"], fix))
    seen = judge.judge_instance(answer, met.instance, fix)
    met.instance = met.instance or judge.instance_of(answer)
    return seen


def local_step(url: str, met: Met) -> Step:
    """The port of this machine, which a tunnel begins at."""
    fix = "another program has this port: stop it, or set PRODCTL_URL to webapp's address"
    return Step("this machine", url, lambda: same_instance(url, met, LOCAL_FIXES, fix))


def public_steps(url: str, met: Met) -> Iterator[Step]:
    """The hops of a public address, all skipped without one. Raises InvalidInput for what is no address."""
    skip = "" if url else NO_PUBLIC
    host = split(url).hostname if url else ""
    yield Step("tunnel", url, lambda: _tunnel(url, met), skip)
    yield Step("first admin", url, lambda: _judged(judge.judge_setup, url, "/api/v1/setup"), skip)
    yield Step("https only", url, lambda: _judged(judge.judge_https, url, "/login"), skip)
    yield Step("closed ports", host, lambda: judge.judge_closed(host, _open_ports(host)), skip)


def _tunnel(url: str, met: Met) -> Seen:
    if split(url).scheme != "https":
        return Seen(
            False, "a public address must be https: passwords travel on it", "give the tunnel's https:// address"
        )
    fix = "the tunnel leads elsewhere: start it for the port of this system"
    return same_instance(url, met, _FIXES, fix, _NO_WARNING)


def _judged(verdict: Callable[[Answer], Seen], url: str, path: str) -> Seen:
    try:
        return verdict(get(url, path, _NO_WARNING))
    except ServiceUnavailable as error:
        return Seen(False, error.message, _FIXES[error.details["reason"]])


def _open_ports(host: str) -> list[int]:
    ports = list(judge.NEVER_TUNNELLED)
    with ThreadPoolExecutor(len(ports)) as pool:
        return [port for port, open_ in zip(ports, pool.map(lambda p: is_open(host, p), ports), strict=True) if open_]
