"""Long work in the browser, a part a request: a script asks for the next part by itself, a person presses the button.

No worker has to remember anything. What is left to do stands in the page in portions, of which a request brings one;
its answer holds the figures and what was refused in that part. Without a script a request brings all that is left.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import g, render_template, request
from werkzeug.exceptions import BadRequest

from webapp.pages.forms import is_draft, is_partial, pack_json, posted_number, unpack_json

STEP = 500
"""How much is done before the page says how far it is."""
ACTIONS = {
    "import": "import.store",
    "undo": "import.undo",
    "edit": "product.bulk_edit",
    "delete": "product.bulk_remove",
    "revert": "product.bulk_edit",
}
"""What the audit calls a part, by kind: as it calls a part that came through the API."""
MAX_KEPT = 1_000
"""Refusals that a page keeps for people."""

Refusal = dict[str, Any]


@dataclass(slots=True)
class Run:
    """How far some work is. ``kind`` chooses the words of the page."""

    kind: str
    address: str
    """Where the next part is asked for."""
    statuses: Sequence[str]
    """What may become of one; the first ``always`` of them are always shown."""
    sent: dict[str, str]
    """What every request brings."""
    total: int
    done: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[Refusal] = field(default_factory=list)
    """Of this part; on a whole page all of them."""
    portions: list[str] = field(default_factory=list)
    """What is left to do, as far as this request brought it."""
    always: int = 1
    made: list[str] = field(default_factory=list)
    """What was done in this part, packed, so that it can be undone; on a whole page all of it."""
    place: str = ""
    """Where an undo goes on."""
    ended: bool = False

    @property
    def figures(self) -> list[tuple[str, int]]:
        """How many met which end; those that only a failure makes are left out while they are 0."""
        always = self.statuses[: self.always]
        return [(status, self.counts[status]) for status in self.statuses if status in always or self.counts[status]]

    def take(self) -> Any:
        """The next portion. Raises BadRequest where the request brought none."""
        if not self.portions:
            raise BadRequest
        return unpack_json(self.portions.pop(0))

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Keep refusals, while there is room."""
        room = MAX_KEPT - self.counts["kept"]
        self.refused += refusals[:room]
        self.counts["kept"] += len(refusals[:room])

    def render(self, **context: Any) -> str:
        """The page, or the part of it that changes; this part is done."""
        if not is_draft():
            g.audit_action, g.audit_subject = ACTIONS[self.kind], self.sent.get("import", "")
        template = "steps/update.html" if is_partial() else "steps/page.html"
        kept = [(entry, json.dumps(entry, ensure_ascii=False)) for entry in self.refused]
        return render_template(template, run=self, kept=kept, step=STEP, **context)


def portions(values: Sequence[Any]) -> list[str]:
    """Work as portions for the page."""
    return [pack_json(values[i : i + STEP]) for i in range(0, len(values), STEP)]


def resumed(kind: str, address: str, statuses: Sequence[str], sent: Sequence[str]) -> Run:
    """The run that this request goes on with. Raises BadRequest."""
    form = request.form
    run = Run(kind, address, statuses, {name: form.get(name, "") for name in sent}, posted_number("total"))
    run.done = posted_number("done")
    run.counts = Counter({name: posted_number(name) for name in (*statuses, "kept")})
    run.portions = form.getlist("portion")
    run.place = form.get("place", "")
    if not is_partial():
        run.refused = kept_refusals()
        run.made = form.getlist("made")
    return run


def kept_refusals() -> list[Refusal]:
    """The refusals that the page has kept. Raises BadRequest."""
    try:
        kept = [json.loads(text) for text in request.form.getlist("refused_row")[:MAX_KEPT]]
    except (ValueError, RecursionError):
        raise BadRequest from None
    if not all(isinstance(entry, dict) for entry in kept):
        raise BadRequest
    return kept
