"""Changing or deleting many products at once: choose them, see what would happen, type how many, watch it happen.

What was chosen travels with the forms as ids and versions: what somebody else changes meanwhile is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import parse_qsl
from uuid import UUID

from apiflask import APIBlueprint
from flask import flash, render_template, request
from flask_babel import gettext
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from prodcore.catalog.bulk import BulkOutcome, Changes, Seen, bulk_delete, bulk_edit, undo_changes
from prodcore.catalog.listing import MAX_PAGE
from prodcore.catalog.stores import Deleted
from prodcore.errors import InvalidInput, Problem
from prodcore.product.fields import BY_NAME, IN_BULK
from prodcore.product.model import Product, ProductPatch
from prodcore.support.validation import validate
from webapp.identity.caller import current_author
from webapp.live import current_catalog
from webapp.pages.errors import problems_by_field
from webapp.pages.forms import is_draft, keeps_drafts, pack_json, unpack_json
from webapp.pages.language import show_number
from webapp.pages.product_form import example_price, read_tags, read_typed, read_whole
from webapp.pages.products import ListState, read_state
from webapp.pages.steps import STEP, Run, portions, resumed

blueprint = APIBlueprint("bulk", __name__, enable_openapi=False)

FIELDS = tuple(row.name for row in IN_BULK)
"""The fields that can get the same value in every product."""
_MAY_BE_EMPTIED = tuple(row.name for row in IN_BULK if row.kind in ("text", "paragraphs", "code") and not row.required)

TEXTS = (*FIELDS, "add_tags", "remove_tags")
BOXES = tuple(f"empty_{name}" for name in _MAY_BE_EMPTIED)
View = Response | str | tuple[str, int]
Action = Literal["edit", "delete"]
MOST = 20_000
"""Products that the browser changes at once; the shell takes any number."""
_SHOWN = 10
_STATUSES = {
    "edit": ("changed", "unchanged", "refused", "unavailable", "unknown"),
    "delete": ("deleted", "refused", "unavailable", "unknown"),
}
_REVERTED = ("restored", "refused", "unavailable", "unknown")
_ADDRESS = "/products/bulk/run"
_UNDO_ADDRESS = "/products/bulk/undo"
_SENT = ("action", "list", *TEXTS, *BOXES)


@dataclass(frozen=True, slots=True)
class BulkValues:
    """What somebody typed. An empty field leaves the products' own, unless it is to be emptied."""

    texts: Mapping[str, str]
    emptied: frozenset[str]

    def changes(self) -> Changes:
        """What that means. Raises InvalidInput, also where nothing is to be changed."""
        fields = validate(ProductPatch, self._fields()).changes()
        add, take = (validate(ProductPatch, {"tags": self._tags(name)}).tags for name in ("add_tags", "remove_tags"))
        if not (fields or add or take):
            raise InvalidInput(problems=[Problem("", "missing", "nothing to change is given")])
        return Changes(fields, tuple(add), tuple(take))

    def _fields(self) -> dict[str, Any]:
        given: dict[str, Any] = {name: None if BY_NAME[name].nullable else "" for name in self.emptied}
        for row in IN_BULK:
            if text := self.texts[row.name]:
                given[row.name] = text == "yes" if row.kind == "flag" else read_typed(row, text)
        return given

    def _tags(self, name: str) -> list[str]:
        return read_tags(self.texts[name])


def read_bulk_values(form: Mapping[str, str]) -> BulkValues:
    """What a form brings."""
    texts = {name: form.get(name, "").replace("\r\n", "\n").strip() for name in TEXTS}
    emptied = frozenset(name for name in _MAY_BE_EMPTIED if form.get(f"empty_{name}") and not texts[name])
    return BulkValues(texts, emptied)


def differences(product: Product, changes: Changes) -> list[tuple[str, Any, Any]]:
    """What would change in a product: field, old and new value."""
    new = changes.of(product)
    names = (*FIELDS, "tags")
    return [(n, getattr(product, n), getattr(new, n)) for n in names if getattr(product, n) != getattr(new, n)]


@dataclass(frozen=True, slots=True)
class Choice:
    """The products that were chosen, what is to be done with them, and the list that they were chosen from."""

    action: Action
    seen: list[Seen]
    state: ListState

    @property
    def packed(self) -> str:
        """The products as a form carries them."""
        return pack_json([_plain(seen) for seen in self.seen])


@blueprint.post("/products/bulk")
@keeps_drafts
def choose() -> View:
    """The products that were ticked, or all of the list, before anything happens."""
    state = _list_state()
    seen = _all_of(state) if request.form.get("all") else [_read_item(text) for text in request.form.getlist("item")]
    if not seen or len(seen) > MOST:
        flash(_cannot(bool(seen)), "note")
        return redirect(state.url(), 303)
    return _page(Choice(_action(), seen, state))


@blueprint.post("/products/bulk/run")
@keeps_drafts
def run() -> View:
    """Show what would happen; once that was seen and how many was typed, do it, some products at a time."""
    action = _action()
    if "done" in request.form:
        return _work(resumed(action, _ADDRESS, _STATUSES[action], _SENT))
    choice = Choice(action, _read_packed(request.form.get("chosen", "")), _list_state())
    values = read_bulk_values(request.form)
    if is_draft():
        return _page(choice, values, unseen=True)
    if action == "edit":
        try:
            values.changes()
        except InvalidInput as error:
            return _page(choice, values, problems_by_field(error, price_example=example_price())), 422
    if "typed" not in request.form:
        return _page(choice, values)
    if request.form["typed"].strip() != str(len(choice.seen)):
        return _page(choice, values, {"typed": gettext("Type this number: %(n)s", n=len(choice.seen))}), 422
    sent = {name: request.form.get(name, "") for name in _SENT}
    work = Run(action, _ADDRESS, _STATUSES[action], sent, len(choice.seen))
    work.portions = portions([_plain(seen) for seen in choice.seen])
    return _work(work)


@blueprint.post("/products/bulk/undo")
@keeps_drafts
def undo() -> View:
    """Undo what a bulk has done, as far as nothing was done to the products since, some products at a time."""
    if "made" not in request.form:
        return _work(resumed("revert", _UNDO_ADDRESS, _REVERTED, ("list",)))
    made = [[_plain(seen) for seen in _read_packed(text)] for text in request.form.getlist("made")]
    work = Run("revert", _UNDO_ADDRESS, _REVERTED, {"list": request.form.get("list", "")}, sum(map(len, made)))
    work.portions = portions([seen for part in made for seen in part])
    return _work(work)


def _work(work: Run) -> str:
    """Change, delete or undo a portion."""
    if is_draft():
        return work.render(back=_list_state().url())
    seen = _read_seen(work.take())[:STEP]
    catalog, author = current_catalog(), current_author()
    if work.kind == "delete":
        outcomes = bulk_delete(catalog, seen, author)
    elif work.kind == "revert":
        outcomes = undo_changes(catalog, seen, author)
    else:
        outcomes = bulk_edit(catalog, seen, read_bulk_values(work.sent).changes(), author)
    for outcome in outcomes:
        work.counts[outcome.status] += 1
    if done := [outcome.seen for outcome in outcomes if outcome.status in ("changed", "deleted")]:
        work.made.append(pack_json([[seen.product_id.hex, seen.version + 1] for seen in done]))
    failed = [outcome for outcome in outcomes if outcome.error]
    found = catalog.get_many([outcome.seen.product_id for outcome in failed])[0] if failed else {}
    work.refuse([_refusal(outcome, found.get(outcome.seen.product_id)) for outcome in failed])
    work.done += len(seen)
    work.ended = work.done >= work.total
    return work.render(back=_list_state().url())


def _page(
    choice: Choice, values: BulkValues | None = None, problems: dict[str, str] | None = None, *, unseen: bool = False
) -> str:
    """What would become of the first of the products, and the question how many they are."""
    typed_wrong = set(problems or ()) == {"typed"}
    shown = choice.seen[:_SHOWN]
    found = current_catalog().get_many([seen.product_id for seen in shown])[0]
    products = [found[seen.product_id] for seen in shown if seen.product_id in found]
    live = [product for product in products if isinstance(product, Product)]
    seen_through = choice.action == "delete" or (values is not None and not unseen and (typed_wrong or not problems))
    changes = values.changes() if values and choice.action == "edit" and seen_through else None
    return render_template(
        "bulk/page.html",
        choice=choice,
        count=len(choice.seen),
        products=[(product, differences(product, changes) if changes else []) for product in live],
        values=values or read_bulk_values({}),
        problems=problems or {},
        seen_through=seen_through,
        boxes=BOXES,
        example_price=example_price(),
    )


def _all_of(state: ListState) -> list[Seen]:
    """All products of a list, or one more than the browser takes. Raises ShardUnavailable where some may be missing."""
    if state.query is None:
        raise BadRequest
    seen: list[Seen] = []
    cursor: str | None = None
    while len(seen) <= MOST:
        page = current_catalog().rows(state.query, cursor=cursor, limit=MAX_PAGE, fields=("id", "version"))
        page.require_all()
        seen += [Seen(values["id"], values["version"]) for values in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    return seen


def _cannot(any_chosen: bool) -> str:
    if not any_chosen:
        return str(gettext("Choose products first."))
    text = gettext(
        "The browser changes at most %(n)s products at a time. The command line has no limit.", n=show_number(MOST)
    )
    return str(text)


def _refusal(outcome: BulkOutcome, product: Product | Deleted | None) -> dict[str, str]:
    error = outcome.error
    named = product.product if isinstance(product, Deleted) else product
    return {
        "id": str(outcome.seen.product_id),
        "name": named.name if named else "",
        "code": error.code if error else "",
        "reason": error.message if error else "",
    }


def _action() -> Action:
    action = request.form.get("action", "")
    if action not in _STATUSES:
        raise BadRequest
    return cast("Action", action)


def _list_state() -> ListState:
    """The list that the products were chosen from."""
    return read_state(MultiDict(parse_qsl(request.form.get("list", "")[:4_000])))


def _plain(seen: Seen) -> list[Any]:
    return [seen.product_id.hex, seen.version]


def _read_item(text: str) -> Seen:
    product_id, _colon, version = text.partition(":")
    return _read_seen([[product_id, read_whole(version)]])[0]


def _read_packed(text: str) -> list[Seen]:
    seen = _read_seen(unpack_json(text))
    if not 0 < len(seen) <= MOST:
        raise BadRequest
    return seen


def _read_seen(values: Any) -> list[Seen]:
    """Ids and versions, each product once. Raises BadRequest."""
    try:
        seen = {UUID(product_id): version for product_id, version in values}
    except (ValueError, TypeError, AttributeError):
        raise BadRequest from None
    if not all(type(version) is int and 0 < version < 2**53 for version in seen.values()):
        raise BadRequest
    return [Seen(product_id, version) for product_id, version in seen.items()]
