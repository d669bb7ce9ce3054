"""One guard of one replica set: a loop that waits for events, and two things it may do."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from prodcore.errors import ProdError
from prodcore.guard.decision import (
    GuardRules,
    Pulse,
    Standing,
    believed_primary,
    candidates,
    choose_successor,
    is_silent,
    left_behind,
    may_elect,
)
from prodcore.processes.control import MemberControl
from prodcore.replicaset.steering import SyncSources, change_sync_source

_ASK_SECONDS = 0.5
_STALE_SECONDS = 1.0
"""What was verified longer ago than this is verified again: the guard itself may have been paused meanwhile."""
_FRESH_SECONDS = 3.0
_HURRY_SECONDS = 2.0
_CHAIN_SECONDS = 0.5
_FIRST_CHECK_SECONDS = 0.5
"""Between the first look, after which nobody can be said to lag, and the second one."""

OnEvent = Callable[[str, str, str], None]
"""Set, what, details."""


class GuardedSet(SyncSources, Protocol):
    """One set, watched and asked. Calls raise MemberUnavailable or CommandRefused, and end within seconds."""

    @property
    def name(self) -> str:
        """The set's name."""

    def members(self) -> Sequence[str]:
        """The members of the configuration that was last seen, in its order."""

    def majority(self) -> int:
        """How many votes make a majority; each member counts for one."""

    def pulses(self) -> Mapping[str, Pulse]:
        """What was last heard of every member."""

    def wait_for_change(self, seen: int, timeout_seconds: float) -> int:
        """Wait until a pulse changes its role, or the time is up; returns the count of changes so far."""

    def is_listening(self, member: str) -> bool:
        """Whether its process takes a connection: False only when it is refused."""

    def ask(self, member: str, about: str, timeout_seconds: float) -> Standing | None:
        """Ask it directly, also for when it last heard of ``about``; None when it gives no answer in time."""

    def step_up(self, member: str) -> None:
        """Ask it to run for election."""

    def abort_catch_up(self, primary: str) -> None:
        """Make a newly elected primary take writes at once, instead of waiting to hear from every member."""

    def refresh_config(self, member: str, timeout_seconds: float) -> None:
        """Ask a member who may vote and who may become primary; what is known stays when it gives no answer."""

    def is_switched_off(self) -> bool:
        """Whether an operator has switched guards off for now."""


@dataclass(slots=True)
class GuardState:
    """What a guard counts and knows, for metrics."""

    counts: Counter[str] = field(default_factory=Counter)
    primary: str = ""
    successor: str = ""
    active: bool = True


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
        self._replaced: dict[str, float] = {}
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
                self._report("trouble", f"{type(error).__name__}: {error}")

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
        active = not self._set.is_switched_off()
        if active != self.state.active:
            self.state.active = active
            self._report("enabled" if active else "disabled", "as the switch says")
        pulses = self._set.pulses()
        current = believed_primary(pulses)
        if current:
            if current != self.state.primary:
                before = pulses.get(self.state.primary)
                if before and before.role == "PRIMARY" and is_silent(before, now, self._rules):
                    self._replaced.setdefault(self.state.primary, now)  # the members replaced it by themselves
                self._report("primary", current)
                self.state.primary, self.state.successor = current, ""
                self._next_check = now + self._rules.check_seconds / 2
            if is_silent(pulses[current], now, self._rules):
                self._consider(current, gone=False)
            elif now >= self._next_check and self.state.active:
                self._next_check, self._refrained = now + self._rules.check_seconds, ""
                self._keep_successor(current)
        elif self.state.primary in pulses and pulses[self.state.primary].role == "Unknown":
            self._consider(self.state.primary, gone=not self._set.is_listening(self.state.primary))
        self._fence(now)

    def _consider(self, primary: str, *, gone: bool) -> None:
        """The primary seems lost: make sure, then ask for an election."""
        now = time.monotonic()
        if not self.state.active or now < self._quiet_until:
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
                self._report("refrained", against)
            self._refrained = against
            self._quiet_until = time.monotonic() + (0.2 if gone else self._rules.silence_seconds / 2)
            return
        asked_at = time.monotonic()
        self._refrained = ""
        self._quiet_until = asked_at + self._rules.cooldown_seconds
        self._report("died" if gone else "silent", primary)
        self._replaced[primary] = asked_at
        for candidate in candidates(standings, self.state.successor):
            if time.monotonic() - asked_at > _STALE_SECONDS:
                self._quiet_until = 0.0  # what was seen is old by now: look again first
                return
            if self._ask_to_run(candidate):
                self._hurry(candidate, primary)
                return

    def _ask_to_run(self, candidate: str) -> bool:
        try:
            self._set.step_up(candidate)
        except ProdError as error:
            self._report("refused", f"{candidate}: {error.message}")
            return bool(believed_primary(self._set.pulses()))
        self._report("elected", candidate)
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
        successor, elsewhere = choose_successor(standings, left_behind(standings, reached))
        if not elsewhere and successor and successor != self.state.successor:
            self._report("successor", f"{successor} is followed")
        self.state.successor = successor if not elsewhere else ""
        own_source = next((s.sync_source for s in standings if s.address == successor), primary)
        if own_source != primary and not self._change_source(primary, successor, primary):
            return
        for member in elsewhere:
            if self._change_source(primary, member, successor or primary):
                self.state.successor = successor
                found = f"{successor}, followed by" if successor else "none that keeps up; to the primary went"
                self._report("successor", f"{found} {member}")

    def _change_source(self, primary: str, member: str, source: str) -> bool:
        """Make ``member`` copy from ``source``, as long as the primary stays; whether it does in the end."""
        ends = time.monotonic() + _CHAIN_SECONDS
        if change_sync_source(
            self._set, member, source, primary, ends, lambda: believed_primary(self._set.pulses()) == primary
        ):
            return True
        self.state.counts["chain_tries"] += 1
        self._next_check = time.monotonic() + 1.0
        return False

    def _fence(self, now: float) -> None:
        """Stop a former primary that has stayed silent since it was replaced."""
        for member, since in list(self._replaced.items()):
            pulse = self._set.pulses().get(member)
            if pulse is None or pulse.answered > since:
                del self._replaced[member]
            elif self._control and self._rules.fence_seconds and now - since > self._rules.fence_seconds:
                self._control.kill(member)
                self._report("fenced", member)
                del self._replaced[member]

    def _ask_all(self, primary: str) -> list[Standing]:
        others = [m for m in self._set.members() if m != primary]
        if not others:
            return []
        with ThreadPoolExecutor(max_workers=len(others)) as pool:
            answers = pool.map(lambda m: self._set.ask(m, primary, _ASK_SECONDS), others)
            return [a for a in answers if a is not None]

    def _report(self, what: str, details: str) -> None:
        self.state.counts[what] += 1
        self._on_event(self._set.name, what, details)
