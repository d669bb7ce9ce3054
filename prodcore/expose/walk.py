"""Walking the way in from the inside out, hop by hop, up to the first that is broken; and what forbids a tunnel.

A tunnel begins only when nothing forbids it: then a browser's address and scheme are believed from the tunnel alone,
cookies travel over https alone, and nobody outside can become the first admin.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from prodcore.errors import ServiceUnavailable
from prodcore.expose import judge
from prodcore.expose.judge import HopResult
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
    "protocol": "the port is forwarded, and nothing is behind it: is the proxy device there?",
}
NGROK_FLOOR = (3, 24, 0)
"""ngrok itself calls older agents vulnerable (its error 9042)."""
_VERSION_SECONDS = 20.0
_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


class HopOutcome(StrEnum):
    """How it went at one hop."""

    OK = "ok"
    BROKEN = "broken"
    SKIPPED = "skipped"
    """It does not apply here."""
    NOT_TRIED = "not tried"
    """It is behind the broken one."""


@dataclass(frozen=True, slots=True)
class HopStep:
    """One hop to probe. With ``skip``, the reason why it does not apply, it is not probed."""

    name: str
    where: str
    probe: Callable[[], HopResult]
    skip: str = ""


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop and its outcome."""

    name: str
    where: str
    outcome: HopOutcome
    text: str
    fix: str = ""


def walk(steps: Iterable[HopStep]) -> list[Hop]:
    """Probe each hop in order; behind the first broken one none is tried, since its answer would mean nothing."""
    hops: list[Hop] = []
    broken = ""
    for step in steps:
        if step.skip:
            hops.append(Hop(step.name, step.where, HopOutcome.SKIPPED, step.skip))
        elif broken:
            hops.append(Hop(step.name, step.where, HopOutcome.NOT_TRIED, f"behind {broken}"))
        else:
            result = step.probe()
            broken = "" if result.is_ok else step.name
            hops.append(
                Hop(
                    step.name, step.where, HopOutcome.OK if result.is_ok else HopOutcome.BROKEN, result.text, result.fix
                )
            )
    return hops


def first_broken(hops: Iterable[Hop]) -> Hop | None:
    """The hop to repair."""
    return next((hop for hop in hops if hop.outcome is HopOutcome.BROKEN), None)


@dataclass(slots=True)
class KnownInstance:
    """The system that answered further inside; empty before any did."""

    instance: str = ""


def same_instance(
    url: str,
    known: KnownInstance,
    fixes: Mapping[str, str],
    fix: str,
    headers: Mapping[str, str] = _INSIDE,
    ca_file: Path | None = None,
) -> HopResult:
    """Whether the system that answered further inside answers here too; the first that answers is the one meant."""
    try:
        answer = get(url, "/healthz", headers, ca_file=ca_file)
    except ServiceUnavailable as error:
        return HopResult(False, error.message, fixes.get(error.details["reason"], fix))
    result = judge.judge_instance(answer, known.instance, fix)
    known.instance = known.instance or judge.instance_of(answer)
    return result


def local_step(url: str, known: KnownInstance, ca_file: Path | None = None) -> HopStep:
    """The port of this machine, which a tunnel begins at."""
    fix = "another program has this port: stop it, or set PRODCTL_URL to webapp's address"
    return HopStep("this machine", url, lambda: same_instance(url, known, LOCAL_FIXES, fix, ca_file=ca_file))


def public_steps(url: str, known: KnownInstance) -> Iterator[HopStep]:
    """The hops of a public address, all skipped without one. Raises InvalidInput for what is no address."""
    skip = "" if url else NO_PUBLIC
    host = split(url).hostname if url else ""
    yield HopStep("tunnel", url, lambda: _tunnel(url, known), skip)
    yield HopStep("first admin", url, lambda: _judged(judge.judge_setup, url, "/api/v1/setup"), skip)
    yield HopStep("https only", url, lambda: _judged(judge.judge_https, url, "/login"), skip)
    yield HopStep("closed ports", host, lambda: judge.judge_closed(host, _open_ports(host)), skip)


def _tunnel(url: str, known: KnownInstance) -> HopResult:
    if split(url).scheme != "https":
        return HopResult(
            False, "a public address must be https: passwords travel on it", "give the tunnel's https:// address"
        )
    fix = "the tunnel leads elsewhere: start it for the port of this system"
    return same_instance(url, known, _FIXES, fix, _NO_WARNING)


def _judged(verdict: Callable[[Answer], HopResult], url: str, path: str) -> HopResult:
    try:
        return verdict(get(url, path, _NO_WARNING))
    except ServiceUnavailable as error:
        return HopResult(False, error.message, _FIXES[error.details["reason"]])


def _open_ports(host: str) -> list[int]:
    ports = list(judge.NEVER_TUNNELLED)
    with ThreadPoolExecutor(len(ports)) as pool:
        return [port for port, open_ in zip(ports, pool.map(lambda p: is_open(host, p), ports), strict=True) if open_]


def is_host_name(name: str) -> bool:
    """Whether a tunnel may have that name.

    >>> is_host_name("abc-123.ngrok-free.app"), is_host_name("--config=x.y"), is_host_name("https://a.b")
    (True, False, False)
    """
    return bool(_NAME.fullmatch(name))


def refusals(url: str, name: str, ngrok: Path) -> list[HopResult]:
    """Everything that speaks against a tunnel from ``name`` (empty: ngrok chooses it) to the webapp at ``url``."""
    return [result for result in (_ngrok(ngrok), *_webapp_refusals(url, name)) if not result.is_ok]


def tunnel_command(ngrok: Path, url: str, name: str) -> list[str]:
    """ngrok's arguments: https only, and no page on this machine that shows the passwords that pass by."""
    return [str(ngrok), "http", url, "--inspect=false", *(["--url", f"https://{name}"] if name else [])]


def judge_version(said: str) -> HopResult:
    """Whether ngrok is new enough, by what it says of itself."""
    floor = ".".join(map(str, NGROK_FLOOR))
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    if not found:
        return HopResult(
            False, f"this is no ngrok that says its version: {said.strip()[:80]!r}", f"install ngrok {floor}"
        )
    if tuple(map(int, found.groups())) < NGROK_FLOOR:
        return HopResult(False, f"ngrok {found[0]} is older than {floor} and has known vulnerabilities", "ngrok update")
    return HopResult(True, f"ngrok {found[0]}")


def _ngrok(ngrok: Path) -> HopResult:
    try:
        done = subprocess.run(  # noqa: S603  a program of the caller's own choice, with a fixed argument
            [ngrok, "version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return HopResult(False, f"{ngrok} does not run: {error}", "install ngrok, and log it in to your account")
    return judge_version(done.stdout)


def _webapp_refusals(url: str, name: str) -> list[HopResult]:
    try:
        alive = judge.judge_instance(get(url, "/healthz"), "", "stop the other program, or give webapp's port")
        if not alive.is_ok:
            return [alive]
        setup = judge.judge_setup(get(url, "/api/v1/setup"))
        page = get(url, "/login" if setup.is_ok else "/setup", judge.ONE_HOP)
        unknown, named = _ask_as(url, judge.UNKNOWN_HOST), _ask_as(url, name) if name else None
        return [setup, judge.judge_https(page), judge.judge_hosts(unknown, named, name)]
    except ServiceUnavailable as error:
        return [HopResult(False, error.message, LOCAL_FIXES.get(error.details["reason"], "prodctl local status"))]


def _ask_as(url: str, host: str) -> Answer:
    return get(url, "/healthz", {"Host": host})
