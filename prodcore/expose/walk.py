"""Walking the way in from the inside out, hop by hop, up to the first that is broken; and what forbids a tunnel.

A tunnel begins only when nothing forbids it: then a browser's address and scheme are believed from the tunnel alone,
cookies travel over https alone, and nobody outside can become the first admin.

What an answer says about the way it came is judged first, without I/O. ``/healthz`` of webapp names its ``instance``,
which every worker of one system gives alike and no other system does; so two answers of one instance came from the same
system.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path

from prodcore.errors import ServiceUnavailable
from prodcore.support.http import Answer, get, is_open, split

TUNNELLED_PORT = 3000
NEVER_TUNNELLED = {5000: "authsvc", 8443: "Incus", 27017: "a mongod"}
"""What must not be within reach of the internet."""

ONE_HOP = {"X-Forwarded-Proto": "https"}
"""What one proxy in front of webapp says. A webapp that trusts none, or more than one, does not believe it."""
UNKNOWN_HOST = "prodctl-unknown.invalid"
"""A name that no webapp is called by."""

_WHERE = "for webapp (deploy.toml under [web]; on one machine config.toml)"
HOP_FIX = f"trusted_proxies = 1 {_WHERE}: exactly one proxy, the tunnel, is in front of it"
HOSTS_FIX = f'trusted_hosts = "{{name}}" {_WHERE}'
SETUP_FIX = "create the first admin before anyone else can: prodctl login, or the page /setup"


@dataclass(frozen=True, slots=True)
class HopResult:
    """What was found at one hop; ``fix`` says what to do where it is not ``is_ok``."""

    is_ok: bool
    text: str
    fix: str = ""


def instance_of(answer: Answer) -> str:
    """Which system answered ``/healthz``; empty where no webapp of ours did."""
    return str(answer.fact("instance") or "") if answer.status == HTTPStatus.OK else ""


def judge_instance(answer: Answer, expected: str, fix: str) -> HopResult:
    """Whether webapp, and the webapp that is meant, answered ``/healthz``. Any will do while ``expected`` is empty."""
    found = instance_of(answer)
    if not found:
        return HopResult(False, f"something answers {answer.status}, and it is not webapp", fix)
    if expected and found != expected:
        return HopResult(False, f"another system answers: instance {found}, not {expected}", fix)
    return HopResult(True, f"instance {found} answers")


def judge_setup(answer: Answer) -> HopResult:
    """Whether the first admin has been created, by the answer to ``/api/v1/setup``."""
    open_ = answer.fact("open")
    if open_ is False:
        return HopResult(True, "the first admin has been created")
    if open_ is True:
        return HopResult(False, "the setup code is still open: anyone who has it becomes the first admin", SETUP_FIX)
    return HopResult(
        False, f"it is not known whether the setup code is open: webapp answers {answer.status}", "start authsvc"
    )


def judge_https(answer: Answer) -> HopResult:
    """Whether webapp knows that browsers come over https: strict transport, and cookies for https alone."""
    if not answer.header("Strict-Transport-Security"):
        return HopResult(
            False, "webapp does not know that browsers come over https: no Strict-Transport-Security", HOP_FIX
        )
    if loose := [c.partition("=")[0] for c in answer.cookies if "secure" not in _attributes(c)]:
        return HopResult(False, f"cookies that would also travel over http: {', '.join(loose)}", HOP_FIX)
    if not any(c.startswith("__Host-") for c in answer.cookies):
        return HopResult(False, "no session cookie bound to this host came with the page", HOP_FIX)
    return HopResult(True, "Strict-Transport-Security, and cookies for https alone")


def judge_hosts(unknown: Answer, named: Answer | None, name: str) -> HopResult:
    """Whether webapp answers to its own names alone, ``name`` among them where one is given."""
    fix = HOSTS_FIX.format(name=name or "the tunnel's name")
    if unknown.status != HTTPStatus.BAD_REQUEST:
        return HopResult(False, "webapp answers to any host name", fix)
    if named is not None and not instance_of(named):
        return HopResult(False, f"webapp does not answer to the name {name}: {named.status}", fix)
    return HopResult(True, "webapp answers to its own names alone")


def judge_closed(host: str, open_ports: Iterable[int]) -> HopResult:
    """Whether what must stay inside does."""
    within_reach = [f"{port} ({NEVER_TUNNELLED[port]})" for port in open_ports]
    if within_reach:
        fix = "take the tunnel, port forwarding or proxy device of that port away: only 3000 is for the internet"
        return HopResult(False, f"{host} takes connections on {', '.join(within_reach)}", fix)
    return HopResult(True, f"{', '.join(map(str, NEVER_TUNNELLED))} are out of reach")


def _attributes(cookie: str) -> Mapping[str, str]:
    parts = (part.strip().partition("=") for part in cookie.split(";")[1:])
    return {name.lower(): value for name, _, value in parts}


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
    result = judge_instance(answer, known.instance, fix)
    known.instance = known.instance or instance_of(answer)
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
    yield HopStep("first admin", url, lambda: _judged(judge_setup, url, "/api/v1/setup"), skip)
    yield HopStep("https only", url, lambda: _judged(judge_https, url, "/login"), skip)
    yield HopStep("closed ports", host, lambda: judge_closed(host, _open_ports(host)), skip)


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
    ports = list(NEVER_TUNNELLED)
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
        alive = judge_instance(get(url, "/healthz"), "", "stop the other program, or give webapp's port")
        if not alive.is_ok:
            return [alive]
        setup = judge_setup(get(url, "/api/v1/setup"))
        page = get(url, "/login" if setup.is_ok else "/setup", ONE_HOP)
        unknown, named = _ask_as(url, UNKNOWN_HOST), _ask_as(url, name) if name else None
        return [setup, judge_https(page), judge_hosts(unknown, named, name)]
    except ServiceUnavailable as error:
        return [HopResult(False, error.message, LOCAL_FIXES.get(error.details["reason"], "prodctl local status"))]


def _ask_as(url: str, host: str) -> Answer:
    return get(url, "/healthz", {"Host": host})
