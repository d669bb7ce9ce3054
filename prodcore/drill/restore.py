"""Putting back: what a drill broke, what it stored, and what a killed drill left of both."""

from __future__ import annotations

import time
from collections.abc import Mapping

from prodcore.drill.events import OnProgress, Progress, Step
from prodcore.drill.faults import Faults
from prodcore.drill.journal import Journal, Unfinished
from prodcore.drill.ports import SetAccess
from prodcore.errors import NoPrimary, Unavailable
from prodcore.processes.control import MemberControl

RESTORE_SECONDS = 60.0


def restore_leftovers(
    journal: Journal, control: MemberControl, sets: Mapping[str, SetAccess], on_progress: OnProgress
) -> Unfinished | None:
    """Put back what an earlier drill left; returns what that was, None when there was nothing. Hold the lock."""
    left = journal.unfinished()
    if left is not None:
        on_progress(Progress(Step.RESTORED, f"drill {left.run} was cut off; putting back what it left"))
        clean_up(journal, control, sets, on_progress)
    return left


def clean_up(journal: Journal, control: MemberControl, sets: Mapping[str, SetAccess], on_progress: OnProgress) -> None:
    """Put back every member that the journal names, remove the records, and close the journal."""
    left = journal.unfinished()
    if left is None:
        return
    faults = Faults(control, sets)
    deadline = time.monotonic() + RESTORE_SECONDS
    for broken in left.broken:
        faults.undo(broken)
        _wait_for_member(sets[broken.set_name], broken.member, deadline)
        journal.mended(broken)
        on_progress(Progress(Step.RESTORED, f"{broken.member} ({broken.fault})", broken.set_name))
    removed = sum(_remove(sets[name], left.run, deadline) for name in left.sets)
    on_progress(Progress(Step.CLEANUP, f"{removed} records of drill {left.run} removed"))
    journal.close()


def _wait_for_member(access: SetAccess, member: str, deadline: float) -> None:
    watch = access.watch()
    try:
        if watch.wait_for_role(member, ("PRIMARY", "SECONDARY"), 0.0, deadline) is None:
            raise Unavailable(f"{member} was started and does not come back", hint="prodctl cluster status shows more")
    finally:
        watch.close()


def _remove(access: SetAccess, run: str, deadline: float) -> int:
    """Remove the records, once there is a primary to do it."""
    watch = access.watch()
    try:
        if watch.wait_for_new_primary("", 0.0, deadline) is None:
            raise NoPrimary(f"{access.name} has no primary: the drill's records are still there", shard=access.name)
    finally:
        watch.close()
    return access.remove_records(run)
