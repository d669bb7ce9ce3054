"""What an answer says about the way it came. Pure: answers in, verdicts out.

``/healthz`` of webapp names its ``instance``, which every worker of one system gives alike and no other system does; so
two answers of one instance came from the same system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from prodcore.support.http import Answer

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
