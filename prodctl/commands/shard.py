"""``prodctl shard``: which shard a name belongs to, and what each shard holds."""

from __future__ import annotations

import click

from prodctl.output import columns, output_option, print_item, print_rows

_COLUMNS = columns("Shard", "Ranges", "Products>")


@click.group()
def shard() -> None:
    """Which shard a name belongs to, and what each shard holds.

    These commands go straight to the members (DB1_URL, DB2_URL, DB3_URL) and need no webapp.
    """


@shard.command("list")
@output_option
def list_shards(output: str) -> None:
    """List the shards: their ranges and how many products each holds.

    Exit status 6 when a shard does not answer; its number is then missing.

    \b
    Examples:
      prodctl shard list
      prodctl shard list -o json
    """
    from prodcore.bootstrap import open_catalog
    from prodcore.deadline import budget
    from prodcore.errors import ShardUnavailable
    from prodcore.settings import load_settings

    settings = load_settings()
    with budget(settings.request_budget_seconds), open_catalog(settings) as catalog:
        counts, version = catalog.counts(), catalog.shard_map.version
    rows = [{"shard": c.shard, "ranges": list(c.ranges), "products": c.products} for c in counts]
    print_rows(rows, _COLUMNS, output, kind="shards", extra={"map_version": version})
    if silent := [c.shard for c in counts if c.products is None]:
        raise ShardUnavailable(f"no answer from {', '.join(silent)}", hint="prodctl cluster status")


@shard.command()
@click.argument("name")
@output_option
def where(name: str, output: str) -> None:
    """Which shard and replica set a product NAME belongs to, and why.

    The answer comes from the stored shard map (rsU, or the shards' own copies while rsU is silent), not from a guess:
    where no map can be read the exit status is 6.

    \b
    Examples:
      prodctl shard where "Ñandú"
      prodctl shard where 7up -o json
    """
    from prodcore.bootstrap import open_catalog
    from prodcore.deadline import budget
    from prodcore.routing import show_key
    from prodcore.settings import load_settings

    settings = load_settings()
    with budget(settings.request_budget_seconds), open_catalog(settings) as catalog:
        route, version = catalog.where(name), catalog.shard_map.version
    answer = {
        "name": route.name,
        "key": show_key(route.key),
        "shard": route.shard,
        "replica_set": route.shard,
        "range": str(route.range),
        "map_version": version,
        "reason": route.reason,
    }
    print_item(answer, output, kind="route")
