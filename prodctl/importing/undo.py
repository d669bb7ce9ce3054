"""Take an import back through the REST API: part by part, again where a shard did not answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prodcore.errors import OutcomeUnknown, Unavailable
from prodctl.client.api import ApiClient
from prodctl.importing.batch_sender import Patience

_PAUSE_SECONDS = 0.5


@dataclass(slots=True)
class UndoReport:
    """What became of the products that an import made or changed."""

    counts: Counter[str] = field(default_factory=Counter)
    left: list[dict[str, Any]] = field(default_factory=list)
    """The products that could not be taken back."""
    unavailable: list[str] = field(default_factory=list)
    """Shards that could not be asked."""

    @property
    def open(self) -> list[dict[str, Any]]:
        """Those of them that another try may settle."""
        return [item for item in self.left if item["status"] != "refused"]

    @property
    def refused(self) -> list[dict[str, Any]]:
        """Those that were changed since."""
        return [item for item in self.left if item["status"] == "refused"]

    def as_dict(self) -> dict[str, int]:
        """The counts by name; those that only a failure makes are left out while they are 0."""
        failures = {"unsettled": len(self.open)} if self.open else {}
        return (
            {n: self.counts[n] for n in ("deleted", "restored", "already")} | {"refused": len(self.refused)} | failures
        )


def undo_import(client: ApiClient, import_id: UUID, patience: Patience, tell: Callable[[int], None]) -> UndoReport:
    """Take back all that can be. Raises ImportNotFound, and Unavailable where nothing can be asked at all."""
    report = UndoReport()
    first = True
    while True:
        _pass(client, import_id, patience, report, tell)
        if first:
            already = report.counts["already"]
        report.counts["already"] = already  # later passes also meet what the earlier ones have done
        first = False
        if not (report.open or report.unavailable):
            return report
        why = report.open[0]["message"] if report.open else f"{', '.join(report.unavailable)} does not answer"
        if not patience.wait(_PAUSE_SECONDS, why):
            return report


def _pass(
    client: ApiClient, import_id: UUID, patience: Patience, report: UndoReport, tell: Callable[[int], None]
) -> None:
    """Once over all products of the import."""
    report.left, report.unavailable = [], []
    cursor: str | None = None
    while True:
        part = _part(client, import_id, cursor, patience)
        report.counts.update({name: part[name] for name in ("deleted", "restored", "already")})
        if part["deleted"] or part["restored"]:
            patience.moved()
        report.left += part["items"]
        report.unavailable = sorted({*report.unavailable, *part["unavailable"]})
        tell(report.counts["deleted"] + report.counts["restored"])
        cursor = part["next_cursor"]
        if cursor is None:
            return


def _part(client: ApiClient, import_id: UUID, cursor: str | None, patience: Patience) -> dict[str, Any]:
    """Ask until there is an answer: what was done already is found to be so."""
    while True:
        try:
            part: dict[str, Any] = client.call("POST", f"/imports/{import_id}/undo", body={"cursor": cursor})
        except (Unavailable, OutcomeUnknown) as error:
            if not patience.wait(_PAUSE_SECONDS, error.message):
                raise
        else:
            return part
