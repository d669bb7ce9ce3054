"""What an answer says about the way it came. Pure: answers in, verdicts out.

``/healthz`` of webapp names its ``instance``, which every worker of one system gives alike and no other system does; so
two answers of one instance came from the same system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from prodcore.expose.walk import Seen
from prodcore.support.http import Answer

TUNNELLED_PORT = 3000
NEVER_TUNNELLED = {5000: "authsvc", 8443: "Incus", 27017: "a mongod"}
"""What must not be within reach of the internet."""

ONE_HOP = {"X-Forwarded-Proto": "https"}
"""What one proxy in front of webapp says. A webapp that trusts none, or more than one, does not believe it."""
STRANGER = "prodctl-stranger.invalid"
"""A name that no webapp is called by."""

_PLACE = "for webapp (deploy.toml under [web]; on one machine config.toml)"
HOP_FIX = f"trusted_proxies = 1 {_PLACE}: exactly one proxy, the tunnel, stands in front of it"
HOSTS_FIX = f'trusted_hosts = "{{name}}" {_PLACE}'
SETUP_FIX = "make the first admin before anybody else can try: prodctl login, or the page /setup"


def instance_of(answer: Answer) -> str:
    """Which system answered ``/healthz``; empty where no webapp of ours did."""
    return str(answer.fact("instance") or "") if answer.status == HTTPStatus.OK else ""


def judge_instance(answer: Answer, expected: str, fix: str) -> Seen:
    """Whether webapp, and the webapp that is meant, answered ``/healthz``. Any will do while ``expected`` is empty."""
    found = instance_of(answer)
    if not found:
        return Seen(False, f"something answers {answer.status}, and it is not webapp", fix)
    if expected and found != expected:
        return Seen(False, f"another system answers: instance {found}, not {expected}", fix)
    return Seen(True, f"instance {found} answers")


def judge_setup(answer: Answer) -> Seen:
    """Whether the first admin has been made, by the answer to ``/api/v1/setup``."""
    open_ = answer.fact("open")
    if open_ is False:
        return Seen(True, "the first admin has been made")
    if open_ is True:
        return Seen(False, "the setup code is still open: whoever has it becomes the first admin", SETUP_FIX)
    return Seen(
        False, f"nobody can say whether the setup code is open: webapp answers {answer.status}", "start authsvc"
    )


def judge_https(answer: Answer) -> Seen:
    """Whether webapp knows that browsers come over https: strict transport, and cookies for https alone."""
    if not answer.header("Strict-Transport-Security"):
        return Seen(False, "webapp does not know that browsers come over https: no Strict-Transport-Security", HOP_FIX)
    if loose := [c.partition("=")[0] for c in answer.cookies if "secure" not in _attributes(c)]:
        return Seen(False, f"cookies that would also travel over http: {', '.join(loose)}", HOP_FIX)
    if not any(c.startswith("__Host-") for c in answer.cookies):
        return Seen(False, "no session cookie bound to this host came with the page", HOP_FIX)
    return Seen(True, "Strict-Transport-Security, and cookies for https alone")


def judge_hosts(stranger: Answer, named: Answer | None, name: str) -> Seen:
    """Whether webapp answers to its own names alone, ``name`` among them where one is given."""
    fix = HOSTS_FIX.format(name=name or "the tunnel's name")
    if stranger.status != HTTPStatus.BAD_REQUEST:
        return Seen(False, "webapp answers to any host name", fix)
    if named is not None and not instance_of(named):
        return Seen(False, f"webapp does not answer to the name {name}: {named.status}", fix)
    return Seen(True, "webapp answers to its own names alone")


def judge_closed(host: str, open_ports: Iterable[int]) -> Seen:
    """Whether what must stay inside does."""
    within_reach = [f"{port} ({NEVER_TUNNELLED[port]})" for port in open_ports]
    if within_reach:
        fix = "take the tunnel, port forwarding or proxy device of that port away: only 3000 is for the internet"
        return Seen(False, f"{host} takes connections on {', '.join(within_reach)}", fix)
    return Seen(True, f"{', '.join(map(str, NEVER_TUNNELLED))} are out of reach")


def _attributes(cookie: str) -> Mapping[str, str]:
    parts = (part.strip().partition("=") for part in cookie.split(";")[1:])
    return {name.lower(): value for name, _, value in parts}
