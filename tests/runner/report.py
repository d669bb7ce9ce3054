"""What a run prints: each part's output whole when it ends; at the end the times, and the failures once more."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_WIDTH = 100
_SLOWEST = 40
_FAILURES = re.compile(r"^=+ (?:FAILURES|ERRORS) =+$", re.MULTILINE)


@dataclass
class Result:
    """How a task ended. ``cases`` are seconds of each test, set-up and tear-down included, by its name."""

    name: str
    seconds: float
    status: int
    output: str
    prepares: bool = False
    processor: float = 0.0
    """Processor seconds of all its processes."""
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("passed", "failed", "skipped"), 0))
    cases: list[tuple[float, str]] = field(default_factory=list)

    def read(self, files: Iterable[Path]) -> None:
        """Count the tests of JUnit files, as pytest writes them."""
        for file in files:
            for case in ET.parse(file).getroot().iter("testcase"):  # noqa: S314  written by our own pytest
                self.cases.append((float(case.get("time", 0)), f"{case.get('classname')}::{case.get('name')}"))
                kinds = {child.tag for child in case}
                failed, skipped = kinds & {"failure", "error"}, "skipped" in kinds
                self.counts["failed" if failed else "skipped" if skipped else "passed"] += 1


def rule(text: str = "") -> str:
    """A line that is seen among many."""
    return f"━━ {text} ".ljust(_WIDTH, "━") if text else "━" * _WIDTH


def short(result: Result) -> str:
    """One line for a task that has ended."""
    tests = ", ".join(f"{count} {kind}" for kind, count in result.counts.items() if count or kind == "failed")
    how = "passed" if result.status == 0 else f"FAILED with status {result.status}"
    return f"{result.name} {how}" + (f": {tests}" if result.cases else "") + f" ({result.seconds:.0f} s)"


def times(results: Sequence[Result], installation: float, total: float) -> str:
    """The tables: seconds of each part, preparation apart, and the slowest tests."""
    lines = [f"{'part':<12}{'seconds':>9}{'processor':>10}{'passed':>9}{'failed':>9}"]
    for result in (r for r in results if not r.prepares):
        counts = [str(result.counts[kind]) if result.cases else "" for kind in ("passed", "failed")]
        times = f"{result.name:<12}{result.seconds:>9.0f}{result.processor:>10.0f}"
        lines.append(f"{times}{counts[0]:>9}{counts[1]:>9}")
    processor = sum(result.processor for result in results)
    lines.append(f"{'together':<12}{total:>9.0f}{processor:>10.0f}   side by side")
    lines.append(f"{'installation':<12}{installation:>9.0f}   before them")
    for result in (r for r in results if r.prepares):
        lines.append(f"{result.name:<12}{result.seconds:>9.0f}   beside them")
    cases = sorted((case for result in results for case in result.cases), reverse=True)[:_SLOWEST]
    slowest = [f"{seconds:>7.1f}  {name}" for seconds, name in cases]
    return "\n".join([rule("seconds"), *lines, rule(f"the {len(slowest)} slowest tests, in seconds"), *slowest])


def failures(result: Result) -> str:
    """From pytest's list of failures on; the whole output where there is none, as with a linter."""
    found = _FAILURES.search(result.output)
    return f"{rule(f'{result.name} failed')}\n{result.output[found.start() if found else 0 :].rstrip()}"


def closing(results: Sequence[Result], total: float) -> str:
    """As pytest closes a run."""
    counts = {kind: sum(result.counts[kind] for result in results) for kind in ("failed", "passed", "skipped")}
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count or kind != "skipped")
    return f" {said} in {total:.2f}s ".center(_WIDTH, "=")
