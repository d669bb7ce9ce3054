"""A bulk edit or removal: what the filter finds is written aside, shown, and then worked on in batches."""

from __future__ import annotations

import csv
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import IO, Any, Self

import click

from prodcore.errors import EXIT_INTERRUPTED, EXIT_OK, OutcomeUnknown, ProdError, Unavailable
from prodcore.product.fields import IN_BULK
from prodcore.routing import fold
from prodcore.tabular.report import escape_formula
from prodctl.client.api import ApiClient
from prodctl.client.products import Product, pages
from prodctl.terminal.output import counted, message, print_item, visible
from prodctl.terminal.prompt import require_terminal, typed

_BATCH = 500
_PREVIEW = 10
_SHOWN_FIELDS = ("id", "name", "variant", "version", "price", "stock", "tags", "shard")
_BULK_FIELDS = ",".join(dict.fromkeys((*_SHOWN_FIELDS, *(row.name for row in IN_BULK))))
_DONE = {"edit": "changed", "delete": "deleted"}
_VERBS = {"edit": "change", "delete": "delete"}
_REFUSED_COLUMNS = ("id", "name", "variant", "version", "status", "code", "message")
_EXITS = {"unknown": 7, "unavailable": 6, "refused": 5}


class BulkRun:
    """One run. ``action`` is ``edit`` or ``delete``, ``changes`` what the API's edit takes beside the items."""

    def __init__(self, client: ApiClient, action: str, changes: Mapping[str, Any]) -> None:
        self._client = client
        self._changes = changes
        self.action = action
        self._found = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  closed by __exit__
        self.count = 0
        """Of the products that were found."""
        self.done = 0
        """How many of them are worked on."""
        self.under_way = 0
        """How many were sent and are not answered."""
        self.first: list[Product] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._found.close()

    def collect(self, query: Mapping[str, Any]) -> None:
        """Find the products and the versions that they have now. Raises ShardUnavailable when some may be missing."""
        for page in pages(self._client, {**query, "fields": _BULK_FIELDS, "require_all": "true"}):
            self.first += page.items[: _PREVIEW - len(self.first)]
            self.count += len(page.items)
            self._found.writelines(f"{json.dumps(product)}\n" for product in page.items)

    def changes_of(self, product: Product) -> dict[str, Any]:
        """The fields that would get another value, with it."""
        wanted = dict(self._changes.get("set", {}))
        if added_or_removed := self._changes.get("add_tags", []) + self._changes.get("remove_tags", []):
            keys = {fold(tag) for tag in added_or_removed}
            kept = [tag for tag in product["tags"] if fold(tag) not in keys]
            wanted["tags"] = kept + list(self._changes.get("add_tags", []))
            if {*map(fold, wanted["tags"])} == {*map(fold, product["tags"])}:
                del wanted["tags"]
        return {name: value for name, value in wanted.items() if not _same(product[name], value)}

    def work(self, refused: IO[str] | None) -> dict[str, int]:
        """Do it, batch by batch; how many products met which end. What was not done goes to ``refused``."""
        ends = Counter(dict.fromkeys((_DONE[self.action], "unchanged", "refused", "unavailable", "unknown"), 0))
        if self.action == "delete":
            del ends["unchanged"]
        writer = csv.writer(refused) if refused else None
        if writer:
            writer.writerow(_REFUSED_COLUMNS)
        self._found.seek(0)
        while batch := [json.loads(line) for line in islice(self._found, _BATCH)]:
            self.under_way = len(batch)
            results = self._send(batch)
            self.under_way = 0
            self.done += len(batch)
            for product, result in zip(batch, results, strict=True):
                ends[result["status"]] += 1
                if writer and result["status"] in _EXITS:
                    told = product | result
                    writer.writerow([escape_formula(told.get(column)) for column in _REFUSED_COLUMNS])
        return dict(ends)

    def _send(self, batch: list[Product]) -> list[dict[str, Any]]:
        items = [{"id": product["id"], "version": product["version"]} for product in batch]
        body = {"items": items, **self._changes}
        for _ in range(2):  # the same request again settles an answer that was lost
            try:
                answer = self._client.call("POST", f"/products/bulk/{self.action}", body=body)
            except OutcomeUnknown as error:
                ended = self._all(batch, "unknown", error)
            except Unavailable as error:
                return self._all(batch, "unavailable", error)
            else:
                results: list[dict[str, Any]] = answer["results"]
                return results
        return ended

    @staticmethod
    def _all(batch: list[Product], status: str, error: ProdError) -> list[dict[str, Any]]:
        return [{"status": status, "code": error.code, "message": error.message} for _ in batch]


def _same(old: Any, new: Any) -> bool:
    """Whether two values are one: 1.2 is 1.20."""
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    try:
        return Decimal(str(old)) == Decimal(str(new))
    except InvalidOperation:
        return bool((old or "") == (new or ""))


def show_preview(run: BulkRun) -> None:
    """Say how many there are, and the first of them."""
    if not run.count:
        message("No product matches.")
        return
    message(f"{_products(run.count)} to {_VERBS[run.action]}:")
    for line in _lines(run):
        message(f"  {line}")
    if run.count > len(run.first):
        message(f"  … and {run.count - len(run.first):,} more")


def confirm_count(run: BulkRun, *, yes: bool, no_input: bool) -> None:
    """Return when the person has typed the count; leaves with status 130 when not.

    Raises InvalidInput where nobody can be asked.
    """
    if yes:
        return
    require_terminal(no_input=no_input)
    question = f"Type {run.count} to {_VERBS[run.action]} {_products(run.count)}"
    if typed(question) != str(run.count):
        message("Nothing was done.")
        raise click.exceptions.Exit(EXIT_INTERRUPTED)


def show_report(ends: dict[str, int], output: str) -> int:
    """Print how many met which end; the exit status."""
    print_item(ends, output, kind="bulk")
    return next((status for end, status in _EXITS.items() if ends[end]), EXIT_OK)


def _lines(run: BulkRun) -> Iterator[str]:
    for product in run.first:
        variant = f" ({product['variant']})" if product["variant"] else ""
        called = f"{product['name']}{variant}, {product['shard']}"
        changed = [
            f"{name} {_text(product[name])} -> {_text(value)}" for name, value in run.changes_of(product).items()
        ]
        state = f"{product['price']}, stock {product['stock']}"
        yield visible(f"{called}: {'; '.join(changed) or 'nothing changes' if run.action == 'edit' else state}")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) or "none" if isinstance(value, list) else str(value if value not in (None, "") else "none")


def _products(count: int) -> str:
    return counted(count, "product")
