"""The guards as a drill needs them: through their switch and their signs of life."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from prodcore.errors import Unavailable
from prodcore.mongo.admin.switch import GuardSwitch

_POLL_SECONDS = 0.1
_HEAR_SECONDS = 15.0
"""A guard looks at the switch every two seconds, and then tells what it knows."""


class MongoGuards:
    """A ``prodcore.drill.ports.Guards``."""

    def __init__(self, switch: GuardSwitch) -> None:
        self._switch = switch

    def on_duty(self) -> bool:
        """Whether any is at work; none is where their signs cannot be read."""
        try:
            return any(_on_duty(guard) for guard in self._switch.guards())
        except Unavailable:
            return False

    def wait_ready(self, sets: Sequence[str], seconds: float) -> None:
        """Give them some time to find successors."""
        self._wait(lambda guards: any(all(g["sets"][name]["successor"] for name in sets) for g in guards), seconds)

    def send_away(self, seconds: float) -> None:
        """Take them off duty, for so long at most."""
        self._switch.turn_off(seconds)
        if not self._wait(lambda guards: not any(_on_duty(guard) for guard in guards), _HEAR_SECONDS):
            raise Unavailable("a guard does not leave its duty", hint="prodctl cluster guard show")

    def call_back(self) -> None:
        """Put them back on duty."""
        self._switch.turn_on()
        self._wait(lambda guards: any(_on_duty(guard) for guard in guards), _HEAR_SECONDS)

    def _wait(self, wanted: Callable[[list[dict[str, Any]]], bool], seconds: float) -> bool:
        ends = time.monotonic() + seconds
        while not wanted(self._switch.guards()):
            if time.monotonic() > ends:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def _on_duty(guard: dict[str, Any]) -> bool:
    return any(facts["on_duty"] for facts in guard["sets"].values())
