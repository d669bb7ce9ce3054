"""``prodctl shard``: which shard a name belongs to, what each shard holds, and whether all is as it should be."""

from __future__ import annotations

import click

from prodctl.commands.shard_verify import repair, verify
from prodctl.terminal.output import columns, output_option, print_item, print_rows, success

_COLUMNS = columns("Shard", "Ranges", "Products>")
_RANGE_COLUMNS = columns("Range", "Shard")


@click.group()
def shard() -> None:
    """Which shard a name belongs to, what each shard holds, and whether all is as it should be.

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
    from prodcore.app.wiring import open_catalog
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
    from prodcore.app.wiring import open_catalog
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


@shard.command()
@click.argument("at", metavar="AT")
@output_option
def split(output: str, at: str) -> None:
    """Cut the range that holds the name AT there, into two ranges of the same shard.

    No product moves, and nobody has to stop: a name belongs to the same shard before and after. The map changes in one
    step, or not at all where somebody else changed it meanwhile (exit status 5); then the shards' copies follow. Where
    a range begins with AT already nothing changes, so the command may be repeated.

    \b
    Examples:
      prodctl shard split g
      prodctl shard split "pan" -o json
    """
    from prodcore.app.shards import open_shards
    from prodcore.routing import name_key
    from prodcore.settings import load_settings

    with open_shards(load_settings()) as shards:
        shard_map = shards.split(name_key(at))
    rows = [{"range": str(r), "shard": r.shard} for r in shard_map.ranges]
    print_rows(rows, _RANGE_COLUMNS, output, kind="ranges", extra={"map_version": shard_map.version})
    success(f"shard map version {shard_map.version}", output)


shard.add_command(verify)
shard.add_command(repair)
