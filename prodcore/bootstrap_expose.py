"""The composition root of ``prodctl expose``: the hops from the container to the public address."""

from __future__ import annotations

from prodcore.expose.public import Met, local_step, public_steps
from prodcore.expose.walk import Hop, walk
from prodcore.settings import Settings


def walk_in(settings: Settings, public: str) -> list[Hop]:
    """Every hop from the container to the address ``public`` (empty: there is none), up to the first broken one."""
    met = Met()
    steps = [local_step(settings.url, met), *public_steps(public, met)]
    return walk(steps)
