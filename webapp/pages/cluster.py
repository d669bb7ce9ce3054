"""The cluster as it is at this moment: what is wrong, the shards, their ranges and members."""

from __future__ import annotations

from dataclasses import dataclass

from apiflask import APIBlueprint
from flask import render_template

from prodcore.catalog.catalog import ShardCount
from prodcore.deadline import budget
from prodcore.errors import ProdError, ShardNotFound
from webapp.catalog_provider import current_catalog
from webapp.cluster_picture import current_status
from webapp.pages.errors import is_partial

blueprint = APIBlueprint("cluster", __name__, enable_openapi=False)

_COUNT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the shards hold."""

    counts: tuple[ShardCount, ...] = ()

    def of(self, shard: str) -> ShardCount | None:
        """One shard's part; None for a set that holds no products."""
        return next((c for c in self.counts if c.shard == shard), None)

    @property
    def most(self) -> int:
        """The largest part, at least 1."""
        return max((c.products or 0 for c in self.counts), default=0) or 1


@blueprint.get("/cluster")
def overview() -> str:
    """The page; a script asks for its inner part every second."""
    template = "cluster/state.html" if is_partial() else "cluster/page.html"
    return render_template(template, status=current_status(), holdings=_holdings())


@blueprint.get("/cluster/<name>")
def one_set(name: str) -> str:
    """One replica set with everything its members tell."""
    found = current_status().set(name)
    if found is None:
        raise ShardNotFound(f"there is no replica set {name!r}", shard=name)
    template = "cluster/set_state.html" if is_partial() else "cluster/set.html"
    return render_template(template, set=found, holdings=_holdings())


def _holdings() -> Holdings:
    """Counts where they can be had quickly: the page is for the times when something is wrong."""
    try:
        with budget(_COUNT_SECONDS):
            return Holdings(tuple(current_catalog().counts()))
    except ProdError:
        return Holdings()
