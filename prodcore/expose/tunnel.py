"""What speaks against starting a public tunnel to the webapp on this machine, asked of that webapp itself.

A tunnel begins only when all of it is mended: then a browser's address and scheme are believed from the tunnel and from
nobody else, cookies travel over https alone, and nobody outside can become the first admin.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from prodcore.errors import ServiceUnavailable
from prodcore.expose import judge
from prodcore.expose.public import LOCAL_FIXES
from prodcore.expose.walk import Seen
from prodcore.support.http import Answer, get

NGROK_FLOOR = (3, 24, 0)
"""ngrok itself calls older agents vulnerable (its error 9042)."""
_VERSION_SECONDS = 20.0
_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")


def is_host_name(name: str) -> bool:
    """Whether a tunnel may be called so.

    >>> is_host_name("abc-123.ngrok-free.app"), is_host_name("--config=x.y"), is_host_name("https://a.b")
    (True, False, False)
    """
    return bool(_NAME.fullmatch(name))


def refusals(url: str, name: str, ngrok: Path) -> list[Seen]:
    """Everything that speaks against a tunnel from ``name`` (empty: ngrok chooses it) to the webapp at ``url``."""
    return [seen for seen in (_ngrok(ngrok), *_webapp(url, name)) if not seen.well]


def command(ngrok: Path, url: str, name: str) -> list[str]:
    """ngrok's arguments: https only, and no page on this machine that shows the passwords that pass by."""
    return [str(ngrok), "http", url, "--inspect=false", *(["--url", f"https://{name}"] if name else [])]


def judge_version(said: str) -> Seen:
    """Whether ngrok is new enough, by what it says of itself."""
    floor = ".".join(map(str, NGROK_FLOOR))
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    if not found:
        return Seen(False, f"this is no ngrok that says its version: {said.strip()[:80]!r}", f"install ngrok {floor}")
    if tuple(map(int, found.groups())) < NGROK_FLOOR:
        return Seen(False, f"ngrok {found[0]} is older than {floor} and has known holes", "ngrok update")
    return Seen(True, f"ngrok {found[0]}")


def _ngrok(ngrok: Path) -> Seen:
    try:
        done = subprocess.run(  # noqa: S603  a program of the caller's own choice, with a fixed argument
            [ngrok, "version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Seen(False, f"{ngrok} does not run: {error}", "install ngrok, and log it in to your account")
    return judge_version(done.stdout)


def _webapp(url: str, name: str) -> list[Seen]:
    try:
        alive = judge.judge_instance(get(url, "/healthz"), "", "stop the other program, or give webapp's port")
        if not alive.well:
            return [alive]
        setup = judge.judge_setup(get(url, "/api/v1/setup"))
        page = get(url, "/login" if setup.well else "/setup", judge.ONE_HOP)
        stranger, named = _ask_as(url, judge.STRANGER), _ask_as(url, name) if name else None
        return [setup, judge.judge_https(page), judge.judge_hosts(stranger, named, name)]
    except ServiceUnavailable as error:
        return [Seen(False, error.message, LOCAL_FIXES.get(error.details["reason"], "is webapp well?"))]


def _ask_as(url: str, host: str) -> Answer:
    return get(url, "/healthz", {"Host": host})
