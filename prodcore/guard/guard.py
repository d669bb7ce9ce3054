"""One guard of one replica set: a loop that waits for events, and two things it may do."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from prodcore.errors import ProdError
from prodcore.guard.decision import (
    GuardRules,
    believed_primary,
    candidates,
    choose_successor,
    is_silent,
    left_behind,
    may_elect,
)
from prodcore.guard.ports import GuardedSet, Standing
from prodcore.processes.control import MemberControl

_ASK_SECONDS = 0.5
_STALE_SECONDS = 1.0
"""What was verified longer ago than this is verified again: the guard itself may have been paused meanwhile."""
_FRESH_SECONDS = 3.0
_NOTES = 10
_HURRY_SECONDS = 2.0
_CHAIN_SECONDS = 0.5
_FIRST_CHECK_SECONDS = 0.5
"""Between the first look, after which nobody can be said to lag, and the second one."""

OnEvent = Callable[[str, str, str], None]
"""Set, what, details."""


@dataclass(slots=True)
class GuardState:
    """What a guard counts and knows, for metrics."""

    counts: Counter[str] = field(default_factory=Counter)
    primary: str = ""
    successor: str = ""
    on_duty: bool = True


class SetGuard:
    """Watches one set until it is stopped."""

    def __init__(
        self, guarded: GuardedSet, rules: GuardRules, on_event: OnEvent, control: MemberControl | None = None
    ) -> None:
        self._set = guarded
        self._rules = rules
        self._on_event = on_event
        self._control = control
        self._quiet_until = 0.0
        self._next_check = 0.0
        self._fallen: dict[str, float] = {}
        self._reached: tuple[int, int, int] | None = None
        """How far the primary was when it looked last."""
        self._refrained = ""
        """Why it did nothing the last time; told once, for as long as the same goes on."""
        self.state = GuardState()

    def run(self, stop: threading.Event) -> None:
        """Watch until ``stop``. Nothing that a set does ends the loop."""
        seen = 0
        while not stop.is_set():
            seen = self._set.wait_for_change(seen, self._patience())
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  a guard that stops over one odd answer guards nothing
                self._tell("trouble", f"{type(error).__name__}: {error}")

    def _patience(self) -> float:
        """How long to wait for news: hardly at all while a primary has hung up and its port is not closed yet."""
        pulse = self._set.pulses().get(self.state.primary)
        hung_up = pulse is not None and pulse.role == "Unknown"
        if hung_up and pulse and time.monotonic() - pulse.answered < _FRESH_SECONDS:
            return 0.01
        return min(0.25, self._rules.silence_seconds / 4)

    def look(self) -> None:
        """Look once, and do what is to be done."""
        now = time.monotonic()
        on_duty = not self._set.is_switched_off()
        if on_duty != self.state.on_duty:
            self.state.on_duty = on_duty
            self._tell("on_duty" if on_duty else "off_duty", "as the switch says")
        pulses = self._set.pulses()
        current = believed_primary(pulses)
        if current:
            if current != self.state.primary:
                before = pulses.get(self.state.primary)
                if before and before.role == "PRIMARY" and is_silent(before, now, self._rules):
                    self._fallen.setdefault(self.state.primary, now)  # the members replaced it by themselves
                self._tell("primary", current)
                self.state.primary, self.state.successor = current, ""
                self._next_check = now + self._rules.check_seconds / 2
            if is_silent(pulses[current], now, self._rules):
                self._consider(current, gone=False)
            elif now >= self._next_check and self.state.on_duty:
                self._next_check, self._refrained = now + self._rules.check_seconds, ""
                self._keep_successor(current)
        elif self.state.primary in pulses and pulses[self.state.primary].role == "Unknown":
            self._consider(self.state.primary, gone=not self._set.is_listening(self.state.primary))
        self._fence(now)

    def _consider(self, primary: str, *, gone: bool) -> None:
        """The primary seems lost: make sure, then ask for an election."""
        now = time.monotonic()
        if not self.state.on_duty or now < self._quiet_until:
            return
        silence = None if gone else self._rules.silence_seconds
        if not gone:
            pulse = self._set.pulses().get(primary)
            if (
                pulse is None
                or not is_silent(pulse, now, self._rules)
                or self._set.ask(primary, primary, _ASK_SECONDS) is not None
            ):
                return
        standings = self._ask_all(primary)
        against = may_elect(primary, standings, self._set.majority(), silence)
        if against:
            if against != self._refrained:
                self._tell("refrained", against)
            self._refrained = against
            self._quiet_until = time.monotonic() + (0.2 if gone else self._rules.silence_seconds / 2)
            return
        asked_at = time.monotonic()
        self._refrained = ""
        self._quiet_until = asked_at + self._rules.cooldown_seconds
        self._tell("died" if gone else "silent", primary)
        self._fallen[primary] = asked_at
        for candidate in candidates(standings, self.state.successor):
            if time.monotonic() - asked_at > _STALE_SECONDS:
                self._quiet_until = 0.0  # what was seen is old by now: look again first
                return
            if self._ask_to_stand(candidate):
                self._hurry(candidate, primary)
                return

    def _ask_to_stand(self, candidate: str) -> bool:
        try:
            self._set.step_up(candidate)
        except ProdError as error:
            self._tell("refused", f"{candidate}: {error.message}")
            return bool(believed_primary(self._set.pulses()))
        self._tell("elected", candidate)
        return True

    def _hurry(self, elected: str, lost: str) -> None:
        """Spare the new primary its wait for the lost one, where that one does not even refuse a connection.

        It would wait to hear whether that one has newer entries, and a machine that is gone is as silent as a process
        that hangs. Nothing a majority has acknowledged can be among them: the voters that elected it are a majority,
        and none of them was fresher. A refusal ends the wait by itself, when everybody else was heard.
        """
        ends = time.monotonic() + _HURRY_SECONDS
        seen = 0
        while time.monotonic() < ends and believed_primary(self._set.pulses()) != elected:
            if self._set.is_listening(lost):
                with suppress(ProdError):  # it is not catching up yet, or not any more
                    self._set.abort_catch_up(elected)
            seen = self._set.wait_for_change(seen, 0.05)

    def _keep_successor(self, primary: str) -> None:
        """See that every other secondary follows the successor; make it so without haste."""
        self._set.refresh_config(primary, _ASK_SECONDS)
        standings = self._ask_all(primary)
        leader = self._set.ask(primary, primary, _ASK_SECONDS)
        if leader is None:
            return
        reached, self._reached = self._reached, leader.last_write  # also while somebody is away, who may come back late
        if reached is None:
            self._next_check = time.monotonic() + _FIRST_CHECK_SECONDS
            return
        if len(standings) < len(self._set.members()) - 1 or any(s.is_primary for s in standings):
            return
        successor, strays = choose_successor(standings, left_behind(standings, reached))
        if not strays and successor and successor != self.state.successor:
            self._tell("successor", f"{successor} is followed")
        self.state.successor = successor if not strays else ""
        own_source = next((s.sync_source for s in standings if s.address == successor), primary)
        if own_source != primary and not self._lead(primary, successor, primary):
            return
        for stray in strays:
            if self._lead(primary, stray, successor or primary):
                self.state.successor = successor
                found = f"{successor}, followed by" if successor else "none that keeps up; to the primary went"
                self._tell("successor", f"{found} {stray}")

    def _lead(self, primary: str, member: str, source: str) -> bool:
        """Make ``member`` copy from ``source``; whether it does in the end.

        It changes over only at a moment when its new source is ahead of it: it stops at the first new entry, and the
        further ones reach the source while it connects. An idle set has no entries, so some that mean nothing are
        written, for as long as it takes: what comes by way of another member comes late.
        """
        self._set.follow(member, source)
        ends = time.monotonic() + _CHAIN_SECONDS
        while time.monotonic() < ends and believed_primary(self._set.pulses()) == primary:
            self._set.write_notes(primary, _NOTES)
            standing = self._set.ask(member, primary, _ASK_SECONDS)
            if standing and standing.sync_source == source:
                return True
        self.state.counts["chain_tries"] += 1
        self._next_check = time.monotonic() + 1.0
        return False

    def _fence(self, now: float) -> None:
        """Stop a former primary that has stayed silent since it was replaced."""
        for member, since in list(self._fallen.items()):
            pulse = self._set.pulses().get(member)
            if pulse is None or pulse.answered > since:
                del self._fallen[member]
            elif self._control and self._rules.fence_seconds and now - since > self._rules.fence_seconds:
                self._control.kill(member)
                self._tell("fenced", member)
                del self._fallen[member]

    def _ask_all(self, primary: str) -> list[Standing]:
        others = [m for m in self._set.members() if m != primary]
        if not others:
            return []
        with ThreadPoolExecutor(max_workers=len(others)) as pool:
            answers = pool.map(lambda m: self._set.ask(m, primary, _ASK_SECONDS), others)
            return [a for a in answers if a is not None]

    def _tell(self, what: str, details: str) -> None:
        self.state.counts[what] += 1
        self._on_event(self._set.name, what, details)
