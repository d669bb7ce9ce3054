"""``prodctl shard split``, ``move``, ``drain`` and what belongs to them: ranges are cut and move between shards."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from prodctl.terminal.arguments import complete_products, complete_sets
from prodctl.terminal.output import columns, counted, message, output_option, print_rows, success
from prodctl.terminal.prompt import confirm, confirm_options
from prodctl.terminal.rows import duration, size

if TYPE_CHECKING:
    from prodcore.app.range_moves import Balance, RangeMoves
    from prodcore.app.shards import Shards
    from prodcore.routing import ShardMap
    from prodcore.sharding.mover import MoveOrder

_RANGE_COLUMNS = columns("Range", "Shard")
_MOVE_COLUMNS = columns("Range!", "From=source", "To=target", "State", "Products>", "Total>", "Id+", "By+", "Begun at+")

_SHOWN_MOVES = 20
_DRY = "Nothing was changed: this was a dry run."


@click.command()
@click.argument("name", metavar="[AT]", required=False, shell_complete=complete_products)
@click.option("--at", "place", type=click.Choice(["auto"]), help="Where the largest range has half of its bytes.")
@click.option("--dry-run", is_flag=True, help="Only say what the ranges would be.")
@confirm_options
@output_option
def split(output: str, name: str | None, place: str | None, dry_run: bool, yes: bool, no_input: bool) -> None:
    """Split the range that contains the name AT into two ranges of the same shard, after asking.

    No product moves, and everyone can keep working: a name belongs to the same shard before and after. The map changes
    in one step, or not at all if another client changed it meanwhile (exit status 5); the shards' copies follow. If a
    range already begins at AT, nothing changes, so the command can be repeated. With --at auto, a name is proposed from
    a random sample.

    \b
    Examples:
      prodctl shard split g --dry-run
      prodctl shard split g
      prodctl shard split --at auto
      prodctl shard split "pan" --yes -o json
    """
    from prodcore.errors import InvalidInput
    from prodcore.routing import name_key, show_key

    if (name is None) == (place is None):
        raise InvalidInput("give a name, or --at auto", hint='as "prodctl shard split g"')
    with _open_shards() as shards:
        key = shards.middle() if name is None else name_key(name)
        shard_map = shards.planned_split(key)
        if not dry_run:
            confirm(f"Begin a range of {shard_map.shard_for(key)} at {show_key(key)!r}?", yes=yes, no_input=no_input)
            shard_map = shards.split(key)
    _print_map(shard_map, output, dry_run=dry_run)


@click.command()
@click.argument("name", metavar="[AT]", required=False, shell_complete=complete_products)
@click.option("--dry-run", is_flag=True, help="Only say what the ranges would be.")
@confirm_options
@output_option
def merge(output: str, name: str | None, dry_run: bool, yes: bool, no_input: bool) -> None:
    """Merge the range that begins at AT with the one before it, both of the same shard, after asking.

    Without AT, all neighbouring ranges of one shard are merged. The reverse of a split: no product moves, everyone can
    keep working, and the command can be repeated.

    \b
    Examples:
      prodctl shard merge g
      prodctl shard merge --dry-run
    """
    from prodcore.routing import name_key

    with _open_shards() as shards:
        key = name_key(name) if name is not None else None
        shard_map = shards.planned_merge(key)
        if not dry_run:
            confirm(f"Leave {counted(len(shard_map.ranges), 'range')}?", yes=yes, no_input=no_input)
            shard_map = shards.merge(key)
    _print_map(shard_map, output, dry_run=dry_run)


def _print_map(shard_map: ShardMap, output: str, *, dry_run: bool) -> None:
    rows = [{"range": str(r), "shard": r.shard} for r in shard_map.ranges]
    print_rows(rows, _RANGE_COLUMNS, output, kind="ranges", extra={"map_version": shard_map.version})
    success(_DRY if dry_run else f"Shard map version {shard_map.version}.", output)


@click.command()
@click.argument("name", required=False, shell_complete=complete_products)
@click.option("--from", "lower", metavar="NAME", default="", help="The first name that moves, instead of a range.")
@click.option("--below", "upper", metavar="NAME", help="The first name after them that does not move.")
@click.option("--to", "target", metavar="SHARD", required=True, shell_complete=complete_sets, help="Where they go.")
@click.option("--dry-run", is_flag=True, help="Only say what would move.")
@confirm_options
@output_option
def move(
    output: str, name: str | None, lower: str, upper: str | None, target: str, dry_run: bool, yes: bool, no_input: bool
) -> None:
    """Move the range that contains NAME, or all names between two bounds, to another shard, after asking.

    Work continues meanwhile: no write is refused or delayed, and every list shows each product once. The first products
    move after twelve seconds, when all processes know of it. The move is carried out by the drill runner, which "local
    up" and "deploy apply" keep running, or by this command if there is none. It slows down while other requests wait
    for it. Ctrl-C pauses it; after a crash it continues, and "prodctl shard abort" undoes it. The former shard keeps
    old locations for another twenty minutes. One range moves at a time (exit status 5).

    \b
    Examples:
      prodctl shard move g --to rsC --dry-run
      prodctl shard move --from g --below n --to rsC
      prodctl shard move --from s --to rsC --yes -o json
    """
    from prodcore.errors import InvalidInput
    from prodcore.routing import name_key
    from prodcore.sharding.mover import Bounds

    if (name is None) == (not lower and upper is None):
        raise InvalidInput("give a name, or --from and --below", hint='as "prodctl shard move --from g --below n …"')
    keys = name_key(lower) if lower else "", name_key(upper) if upper else None
    if keys[1] is not None and keys[0] >= keys[1]:
        raise InvalidInput(f"no name is from {lower!r} on and below {upper!r}")
    with _open_moves() as moves:
        bounds = Bounds(*keys) if name is None else moves.bounds_of(name)
        _carry_out(moves, [moves.plan_move(bounds, target, _user())], output, dry_run, yes=yes, no_input=no_input)


@click.command()
@click.option("--apply", is_flag=True, help="Move it, after asking.")
@click.option("--dry-run", is_flag=True, help="Only say what would move, as without --apply.")
@confirm_options
@output_option
def rebalance(output: str, apply: bool, dry_run: bool, yes: bool, no_input: bool) -> None:
    """Propose moves that balance the shards, and with --apply carry them out.

    As little as possible moves from the fullest shards to the emptiest, by their size in bytes; the distribution of
    names is estimated from a random sample of each. Shards within five percent of the mean are left alone.

    \b
    Examples:
      prodctl shard rebalance
      prodctl shard rebalance --apply
      prodctl shard rebalance -o json | jq '.balance'
    """
    with _open_moves() as moves:
        if apply and not dry_run:
            moves.close_settled()
        orders, balance = moves.plan_rebalance(_user())
        rate = moves.rate()
        extra = {"balance": [asdict(each) for each in balance], "products_a_second": rate and round(rate)}
        if orders and not dry_run and apply:
            _tell_balance(balance, orders, rate)
            _carry_out(moves, orders, output, dry_run=False, yes=yes, no_input=no_input)
            return
        _print_moves(orders, output, empty="The shards are in balance.", extra=extra)
        _tell_balance(balance, orders, rate)
        success("Nothing was changed: --apply moves it." if orders else "There is nothing to move.", output)


def _tell_balance(balance: Sequence[Balance], orders: Sequence[MoveOrder], rate: float | None) -> None:
    """What each shard holds before and after, and how long the moves will take."""
    for each in balance:
        before, after = size(each.bytes), size(each.bytes_after)
        message(f"{each.shard}: {each.products:,} products, {before}; after that {each.products_after:,}, {after}")
    if orders:
        seconds = sum(order.total for order in orders) / rate if rate else None
        known = (
            f"{duration(seconds)} at the {rate:,.0f} products a second of the last moves" if rate else "not known yet"
        )
        message(f"Time to carry them: {known}; and twelve seconds for each range.")


@click.command()
@click.argument("name", metavar="SHARD", shell_complete=complete_sets)
@click.option("--to", "targets", metavar="SHARD", multiple=True, shell_complete=complete_sets, help="Only to these.")
@click.option("--dry-run", is_flag=True, help="Only say what would move.")
@confirm_options
@output_option
def drain(output: str, name: str, targets: tuple[str, ...], dry_run: bool, yes: bool, no_input: bool) -> None:
    """Move everything in a shard to the others, after asking: each range to the one with the fewest products.

    Like "prodctl shard move" for one range after the other; run it again to continue. When the old locations have
    expired, after twenty minutes, the shard can be removed.

    \b
    Examples:
      prodctl shard drain rsC --dry-run
      prodctl shard drain rsC --yes
      prodctl shard drain rsC --to rsA
    """
    with _open_moves() as moves:
        moves.close_settled()
        orders = moves.plan_drain(name, targets, _user())
        _carry_out(moves, orders, output, dry_run, yes=yes, no_input=no_input)


@click.command()
@output_option
def status(output: str) -> None:
    """Show the latest range moves: progress, rate and remaining time.

    \b
    planned           not started yet
    moving, aborting  products are being moved
    paused            "prodctl shard resume" continues it
    interrupted       nothing carries it out: "prodctl shard resume" continues it
    settling          all have moved; old locations are kept for twenty minutes
    done, aborted     the range belongs to one shard only

    \b
    Examples:
      prodctl shard status
      prodctl shard status -o json | jq '.items[0].seconds_left'
    """
    with _open_moves() as moves:
        _print_moves(moves.latest_orders(_SHOWN_MOVES), output)


@click.command()
@output_option
def pause(output: str) -> None:
    """Pause the current move after its current batch; what has moved stays moved.

    \b
    Examples:
      prodctl shard pause
    """
    with _open_moves() as moves:
        order = moves.order_at_work()
        moves.want(order, "pause")
        success(f"The move of {order.bounds} to {order.target} pauses: prodctl shard resume continues it.", output)


@click.command()
@output_option
def resume(output: str) -> None:
    """Resume a move that was paused or interrupted, and show its progress.

    \b
    Examples:
      prodctl shard resume
    """
    with _open_moves() as moves:
        order = moves.order_at_work()
        if order.wanted == "pause":
            moves.want(order, "move")
        _print_moves([_follow(moves, order)], output)


@click.command()
@confirm_options
@output_option
def abort(output: str, yes: bool, no_input: bool) -> None:
    """Undo the current move, running, paused or interrupted, after asking: what has moved goes back.

    \b
    Examples:
      prodctl shard abort
      prodctl shard abort --yes
    """
    with _open_moves() as moves:
        order = moves.order_at_work()
        question = f"Bring {counted(order.carried, 'product')} of {order.bounds} back to {order.source}?"
        confirm(question, yes=yes, no_input=no_input)
        moves.want(order, "abort")
        _print_moves([_follow(moves, order)], output)


@contextmanager
def _open_shards() -> Iterator[Shards]:
    from prodcore.app.shards import open_shards
    from prodcore.settings import load_settings

    with open_shards(load_settings()) as shards:
        yield shards


@contextmanager
def _open_moves() -> Iterator[RangeMoves]:
    from prodcore.app.range_moves import RangeMoves

    with _open_shards() as shards:
        yield RangeMoves(shards)


def _user() -> str:
    return getpass.getuser()


def _carry_out(
    moves: RangeMoves, orders: Sequence[MoveOrder], output: str, dry_run: bool, *, yes: bool, no_input: bool
) -> None:
    """Give one order after the other and carry it out, after asking once for all."""
    if dry_run or not orders:
        _print_moves(orders, output)
        success(_DRY if orders else "There is nothing to move.", output)
        return
    moved = "; ".join(f"{counted(o.total, 'product')} of {o.bounds} from {o.source} to {o.target}" for o in orders)
    confirm(f"Move {moved}?", yes=yes, no_input=no_input)
    _print_moves(moves.give_one_by_one(orders, lambda order: _follow(moves, order)), output)


def _follow(moves: RangeMoves, order: MoveOrder) -> MoveOrder:
    """Show how far an order is, and carry it out where no supervised program does. Ctrl-C pauses it."""
    from prodcore.app.range_moves import RUNNER_TAKES_SECONDS
    from prodcore.errors import Conflict
    from prodcore.sharding.mover import STAYING_HINT
    from prodctl.terminal.prompt import row_progress

    carried = order.carried
    said = ""

    def tell(now: MoveOrder, trouble: str) -> None:
        nonlocal carried, said
        carried = now.carried
        show(carried)
        if trouble != said and trouble:
            message(f"{trouble} Trying again.")
        said = trouble

    with row_progress(lambda: carried, order.total, "products") as show:
        try:
            ended = moves.carry_out(order.id, tell, patience=RUNNER_TAKES_SECONDS)
        except KeyboardInterrupt:
            moves.want(order, "pause")
            message("The move is paused: prodctl shard resume continues it, prodctl shard abort undoes it.")
            raise
    if ended.trouble:
        raise Conflict(ended.trouble, hint=STAYING_HINT)
    return ended


def _print_moves(orders: Iterable[MoveOrder], output: str, **more: Any) -> None:
    now = datetime.now(UTC)
    print_rows([order.as_dict(now) for order in orders], _MOVE_COLUMNS, output, kind="shard_moves", **more)
