"""What an operator wants done to the cluster: ordered by one process, the dashboard, and carried out by another one.

The dashboard may change nothing itself; the drill runner, which has an operator's access and controls the members,
takes each order once and reports what became of it. What is read back is checked again: an order is input.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from prodcore.deadline import budget
from prodcore.errors import InvalidInput, OutcomeUnknown, Problem, ProdError, Unavailable

TAKEN_WITHIN_SECONDS = 60.0
"""An order that nobody took for so long is refused: whoever gave it has gone."""
MAX_ARGUMENT_LENGTH = 1_000
UNEXPECTED = "it failed unexpectedly and may be half done: the drill runner's log has the reason"
_LOOK_SECONDS = 1.0
_WRITE_SECONDS = 3.0
_LAST_WRITE_SECONDS = 60.0


class ActionKind(StrEnum):
    """What can be ordered."""

    MOVE = "move"
    """Keys from ``lower`` on and below ``upper`` (empty: without end) go to the shard ``target``."""
    DRAIN = "drain"
    """All that ``shard`` has goes to the others."""
    REBALANCE = "rebalance"
    PAUSE = "pause"
    """The order ``move`` of a range's move; so the next two."""
    RESUME = "resume"
    ABORT = "abort"
    SWITCHOVER = "switchover"
    """``member`` becomes the primary of ``set``."""
    START = "start"
    """The process of ``member`` of ``set``; so the next one."""
    STOP = "stop"


ARGUMENTS: Mapping[ActionKind, tuple[str, ...]] = {
    ActionKind.MOVE: ("lower", "upper", "target"),
    ActionKind.DRAIN: ("shard",),
    ActionKind.REBALANCE: (),
    ActionKind.PAUSE: ("move",),
    ActionKind.RESUME: ("move",),
    ActionKind.ABORT: ("move",),
    ActionKind.SWITCHOVER: ("set", "member"),
    ActionKind.START: ("set", "member"),
    ActionKind.STOP: ("set", "member"),
}


@dataclass(frozen=True, slots=True)
class ClusterAction:
    """What somebody wants done."""

    id: str
    kind: ActionKind
    by: str
    at: datetime
    arguments: Mapping[str, str] = field(default_factory=dict)


class ActionState(StrEnum):
    """How far an action is."""

    WAITING = "waiting"
    """Nobody has taken it yet."""
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    """It could not be done, or not to its end; the reason says which."""


@dataclass(frozen=True, slots=True)
class ActionRun:
    """What became of an order."""

    action: ClusterAction
    state: ActionState = ActionState.WAITING
    reason: str = ""
    """Why it was refused."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """What was done, as the command line prints it."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in (ActionState.DONE, ActionState.REFUSED)


def read_action(id_: str, by: str, at: datetime, kind: object, arguments: object) -> ClusterAction:
    """The action that these values describe. Raises InvalidInput for what is no order of that kind."""
    if kind not in list(ActionKind):
        raise InvalidInput(problems=[Problem("kind", "unknown", f"must be one of {', '.join(ActionKind)}")])
    known = ActionKind(str(kind))
    given = arguments if isinstance(arguments, Mapping) else {}
    problems = [
        Problem(name, "missing", "must be text")
        for name in ARGUMENTS[known]
        if not isinstance(given.get(name), str) or len(given[name]) > MAX_ARGUMENT_LENGTH
    ]
    if problems:
        raise InvalidInput(problems=problems)
    return ClusterAction(id_, known, by, at, {name: given[name] for name in ARGUMENTS[known]})


class ActionBoard(Protocol):
    """Where actions are ordered, and where what becomes of them is written. Calls raise Unavailable."""

    def waiting(self) -> list[ActionRun]:
        """Orders that nobody has taken, the oldest first; refused where the order cannot be read."""

    def take(self, action: ClusterAction) -> bool:
        """Note that it is being carried out; False where another runner has taken it."""

    def publish(self, run: ActionRun) -> None:
        """Write what became of an order."""

    def end_running(self, reason: str) -> None:
        """Note that actions which still count as running are not: their runner has died."""


Perform = Callable[[ClusterAction], Mapping[str, Any]]
"""Carries an action out and returns what was done. Raises ProdError where it cannot be done."""


class ActionRunner:
    """Takes orders, each in a thread of its own: a pause must not wait for the move that it is to pause."""

    def __init__(self, board: ActionBoard, perform: Perform, log: Callable[[str], None]) -> None:
        self._board = board
        self._perform = perform
        self._log = log
        self._cleared = False
        """Whether what an earlier runner left as running has been ended."""

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``. While the board does not answer nothing is taken."""
        while not stop.wait(_LOOK_SECONDS):
            with suppress(Unavailable, OutcomeUnknown), budget(_WRITE_SECONDS):
                if not self._cleared:
                    self._board.end_running("the drill runner was interrupted: check the cluster before you repeat it")
                    self._cleared = True
                for run in self._board.waiting():
                    self._take(run)

    def _take(self, run: ActionRun) -> None:
        if run.is_over:
            self._board.publish(run)
        elif datetime.now(UTC) - run.action.at > timedelta(seconds=TAKEN_WITHIN_SECONDS):
            late = "no active drill runner took the order in time"
            self._board.publish(replace(run, state=ActionState.REFUSED, reason=late))
        elif self._board.take(run.action):
            name = f"action-{run.action.kind}"
            threading.Thread(target=self.carry_out, args=(run.action,), name=name, daemon=True).start()

    def carry_out(self, action: ClusterAction) -> None:
        """Carry one out, and write what became of it."""
        self._log(f"{action.by} orders: {' '.join((action.kind, *action.arguments.values()))}")
        try:
            run = ActionRun(action, ActionState.DONE, result=self._perform(action))
        except ProdError as error:
            run = ActionRun(action, ActionState.REFUSED, reason=error.message)
        except Exception as error:  # noqa: BLE001  whoever waits for it must hear of it
            self._log(f"{action.id} failed: {type(error).__name__}: {error}")
            run = ActionRun(action, ActionState.REFUSED, reason=UNEXPECTED)
        try:
            with budget(_LAST_WRITE_SECONDS):
                self._board.publish(run)
        except ProdError as error:
            self._log(f"The outcome of {action.id} could not be stored: {error.message}")
