"""What is saved under a name: lists of products (views), a user's own ones and those that everybody sees; mappings.

What one owner has is read and written as a whole, over the version that was seen, so two changes at once both come
about or one is tried again on top of the other. An owner is a user's id, which no other user ever gets, or
``EVERYBODY``; who may change what everybody sees is the caller's to know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Protocol
from uuid import UUID, uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from prodcore.errors import InvalidInput, Problem, Unavailable
from prodcore.product.model import clean_text
from prodcore.routing import fold
from prodcore.support.validation import validate

EVERYBODY = "everybody"
MAPPINGS = "import mappings"
"""The owner of the mappings of imports, which belong to all who may import."""
MOST_MAPPINGS = 100
MAX_MAPPING = 20_000
"""Characters of a mapping as it is stored."""
MOST_VIEWS = 20
"""Of one owner."""
MAX_VIEW_NAME = 40
MAX_VIEW_QUERY = 2_000

Views = tuple["View", ...]


@dataclass(frozen=True, slots=True)
class View:
    """A list under a name."""

    id: UUID
    name: str
    query: str
    """What the address of the list has behind its question mark: filters, order, page size."""
    by: str
    """Who saved or renamed it last."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Shelf:
    """The views of one owner, in the order in which they were made; version 0 is that of an owner without any."""

    views: Views = ()
    version: int = 0


class ViewStore(Protocol):
    """Where the views are kept. Reads raise Unavailable; writes too, or OutcomeUnknown."""

    def load(self, owners: Sequence[str]) -> dict[str, Shelf]:
        """What these owners have; those that never had any are left out."""

    def replace(self, owner: str, seen: int, views: Views) -> bool:
        """Store the views of an owner over this version; False where another one is stored."""


class _Text(BaseModel):
    """What a user types. The names are those of the fields of the form."""

    model_config = ConfigDict(strict=True)

    view: Annotated[str, Field(min_length=1, max_length=MAX_VIEW_NAME), BeforeValidator(clean_text)]
    list: str = ""


class SavedViews:
    """Saving, renaming and removing views."""

    def __init__(
        self,
        store: ViewStore | None,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID] = uuid4,
        *,
        most: int = MOST_VIEWS,
        longest: int = MAX_VIEW_QUERY,
    ) -> None:
        self._store = store
        self._most, self._longest = most, longest
        self._clock = clock
        self._new_id = new_id

    def of(self, *owners: str) -> list[Views]:
        """The views of each of these owners. Raises Unavailable."""
        kept = self._kept().load(owners)
        return [kept.get(owner, Shelf()).views for owner in owners]

    def save(self, owner: str, name: str, query: str, by: str, *, over: bool = False) -> View:
        """Keep a list under a name; ``over`` another one of that name, which keeps its id and its place.

        Raises InvalidInput for a bad or a taken name (``name_taken``) and for one view too many (``too_many_views``).
        """
        text = validate(_Text, {"view": name, "list": query})
        if len(query) > self._longest:
            reason = f"must be at most {self._longest:,} characters long"
            raise InvalidInput(problems=[Problem("list", "string_too_long", reason)])
        new = View(self._new_id(), text.view, text.list, by, self._clock())

        def save(views: Views) -> Views:
            taken = _named(views, new.name)
            if taken and not over:
                raise _name_taken(taken)
            if taken:
                return _changed(views, replace(new, id=taken.id))
            if len(views) >= self._most:
                raise InvalidInput(problems=[Problem("view", "too_many_views", f"would be one more than {self._most}")])
            return (*views, new)

        return _named(self._change(owner, save), new.name) or new

    def named(self, owner: str, name: str) -> View | None:
        """What an owner has under a name, whatever its spelling. Raises Unavailable."""
        [views] = self.of(owner)
        return _named(views, name)

    def rename(self, owner: str, view_id: UUID, name: str, by: str) -> View | None:
        """Give a view another name; None where there is no such view. Raises InvalidInput as ``save`` does."""
        new = validate(_Text, {"view": name}).view

        def rename(views: Views) -> Views:
            old = _with_id(views, view_id)
            if old is None:
                return views
            if (taken := _named(views, new)) and taken.id != view_id:
                raise _name_taken(taken)
            return _changed(views, replace(old, name=new, by=by, at=self._clock())) if old.name != new else views

        return _with_id(self._change(owner, rename), view_id)

    def remove(self, owner: str, view_id: UUID) -> View | None:
        """Remove a view, and return it; None where there is no such view."""
        removed: View | None = None

        def remove(views: Views) -> Views:
            nonlocal removed
            removed = _with_id(views, view_id) or removed
            return tuple(view for view in views if view.id != view_id)

        self._change(owner, remove)
        return removed

    def _change(self, owner: str, change: Callable[[Views], Views]) -> Views:
        """Carry out a change on what is stored now, until nobody comes before; the budget ends it."""
        store = self._kept()
        while True:
            seen = store.load([owner]).get(owner, Shelf())
            views = change(seen.views)
            if views == seen.views or store.replace(owner, seen.version, views):
                return views

    def _kept(self) -> ViewStore:
        if self._store is None:
            raise Unavailable("this catalogue keeps no views")
        return self._store


def _named(views: Views, name: str) -> View | None:
    return next((view for view in views if fold(view.name) == fold(name)), None)


def _with_id(views: Views, view_id: UUID) -> View | None:
    return next((view for view in views if view.id == view_id), None)


def _changed(views: Views, new: View) -> Views:
    return tuple(new if view.id == new.id else view for view in views)


def _name_taken(view: View) -> InvalidInput:
    return InvalidInput(problems=[Problem("view", "name_taken", f"is the name of another view, “{view.name}”")])
