"""The pages of the documentation, and the commands that stand in them.

A fenced block ``console`` is a session: lines after ``$ `` are typed, lines after ``> `` continue them. A block
``sh`` needs another machine or another version: nothing types it here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(prodctl [^`]+)`")


@dataclass(frozen=True)
class DocPage:
    """A page of the documentation."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    def blocks(self, kind: str) -> list[str]:
        """The fenced blocks of a kind, without their indentation."""
        found = _FENCE.finditer(self.path.read_text(encoding="utf-8"))
        return [
            re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
            for match in found
            if match["kind"] == kind
        ]

    def session(self) -> list[str]:
        """What is typed in the blocks ``console``, in order."""
        typed: list[str] = []
        for line in "\n".join(self.blocks("console")).splitlines():
            if line.startswith("$ "):
                typed.append(line[2:])
            elif line.startswith("> ") and typed:
                typed[-1] += "\n" + line[2:]
        return typed

    def mentions(self) -> list[str]:
        """Every command line that begins with ``prodctl``: typed, shown, or named in a sentence."""
        text = _FENCE.sub("", self.path.read_text(encoding="utf-8"))
        indented = [line for line in text.splitlines() if line.startswith("    ")]
        blocks = [line for block in self.blocks("sh") for line in block.splitlines()]
        shown = [re.split(r"\s#", line)[0].strip() for line in (*indented, *blocks)]
        lines = [*_INLINE.findall(text.replace("\n", " ")), *shown, *self.session()]
        return [m for line in lines for m in re.findall(r"(?:^|[;&|(] ?|\w=\S* )(prodctl [^;&|>)]+)", line)]


def all_pages() -> list[DocPage]:
    """README, CONTRIBUTING and all of ``docs/`` that is not generated."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [DocPage(path) for path in pages if path.name != "commands.md"]
