"""Starting the members, a few at a time, in the order in which their sets need them."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence

from prodcore.deadline import remaining
from prodcore.errors import ClusterUnavailable
from prodcore.installation import Progress
from prodcore.local.log import last_words
from prodcore.local.plan import LocalPlan, SetMember
from prodcore.local.ports import is_listener, is_listening
from prodcore.processes.supervisord import Supervisor

_POLL_SECONDS = 0.01
_LOOK_SECONDS = 0.2
_MAJORITY = 2
_LARGE_LOG = 16 * 1024 * 1024


class MemberStarter:
    """Starts members; others wait here for the one they need.

    A mongod spends its first half second in computing alone, so more of them at once than there are processors only
    makes all of them late: the first ones are of use sooner, and their sets can be set up meanwhile. For the same
    reason the third members, which no majority needs, leave a processor to the sets that are forming.
    """

    def __init__(self, plan: LocalPlan, supervisor: Supervisor, progress: Progress) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._progress = progress
        self._changed = threading.Condition()
        self._listening: set[str] = set()
        self._failure: Exception | None = None
        self._sets_are_formed = False

    def run(self, members: Sequence[SetMember]) -> None:
        """Start these in order and return when all listen. What goes wrong is raised to those who wait."""
        try:
            self._run(members)
        except Exception as error:  # noqa: BLE001  carried to the threads that wait, and raised there
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def let_all_start(self) -> None:
        """Hold nobody back any more: every set has its majority."""
        self._sets_are_formed = True

    def wait_listening(self, address: str) -> None:
        """Return when the member accepts connections. Raises ClusterUnavailable when it died or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: address in self._listening or self._failure, timeout=remaining())
            if self._failure:
                raise self._failure
            if address not in self._listening:
                raise ClusterUnavailable(f"{address} does not begin to listen in time")

    def _run(self, members: Sequence[SetMember]) -> None:
        waiting, starting = deque(members), list[SetMember]()
        look_at = time.monotonic() + _LOOK_SECONDS
        while (waiting or starting) and not self._failure:
            while waiting and self._may_start(waiting[0], len(starting)):
                starting.append(waiting.popleft())
                _rotate(self._plan, starting[-1])
                self._supervisor.start(starting[-1].name)
            for member in [m for m in starting if self._listens(m)]:
                starting.remove(member)
                self._note(member)
            if time.monotonic() > look_at:
                look_at = time.monotonic() + _LOOK_SECONDS
                self._check_alive(starting)
            if remaining() <= 0:
                return
            time.sleep(_POLL_SECONDS)

    def _may_start(self, member: SetMember, starting: int) -> bool:
        processors = os.cpu_count() or 1
        if member.number > _MAJORITY and not self._sets_are_formed:
            return starting < max(1, processors - 1)
        return starting <= processors

    def _listens(self, member: SetMember) -> bool:
        """Whether the member accepts connections, and not somebody else who took its port a moment ago."""
        return is_listening(member.port) and is_listener(self._supervisor.program(member.name).pid, member.port)

    def _note(self, member: SetMember) -> None:
        self._progress(member.name, f"listens on {member.address}")
        with self._changed:
            self._listening.add(member.address)
            self._changed.notify_all()

    def _check_alive(self, members: Sequence[SetMember]) -> None:
        states = self._supervisor.programs()
        for member in members:
            if states[member.name].is_gone:
                raise ClusterUnavailable(
                    f"{member.name} ended with status {states[member.name].exit_status} while it started"
                    f"{last_words(self._plan, member.name)}",
                    hint=f"prodctl local logs {member.name}",
                )


def _rotate(plan: LocalPlan, member: SetMember) -> None:
    """Keep one old log, so that logs do not grow for ever."""
    log = plan.log(member.name)
    if log.exists() and log.stat().st_size > _LARGE_LOG:
        log.replace(log.with_suffix(".log.1"))
