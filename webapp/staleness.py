"""What is shown of a shard that has lost its majority: every answer that holds some of it says so."""

from __future__ import annotations

from flask import Flask, Response, g, request

from prodcore.errors import ShardUnavailable
from prodcore.support.stale_reads import stale_reads

HEADER = "Stale-Shards"


def install_staleness(app: Flask) -> None:
    """Let whoever only looks see what is left of such a shard."""
    app.before_request(_allow)
    app.after_request(_say)
    app.jinja_env.globals["stale_shards"] = stale_shards


def stale_shards() -> list[str]:
    """The shards of which this request has read what may be out of date."""
    return sorted(g.get("stale", ()))


def refuse_stale() -> None:
    """Raise ShardUnavailable if there is one."""
    if shards := ", ".join(stale_shards()):
        raise ShardUnavailable(f"{shards} without a majority: this may be out of date", shard=shards)


def _allow() -> None:
    if request.method in ("GET", "HEAD") and request.blueprint:  # health asks whether everything can be done
        g.stale = g.budget.enter_context(stale_reads())


def _say(response: Response) -> Response:
    if shards := stale_shards():
        response.headers[HEADER] = ", ".join(shards)
    return response
