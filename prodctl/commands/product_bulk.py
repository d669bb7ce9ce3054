"""``prodctl product bulk``: edit and delete all products of a filter."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any, TypeVar

import click

from prodcore.product.fields import BY_NAME, IN_BULK
from prodctl.client import open_client
from prodctl.importing.options import filter_options, query_of
from prodctl.terminal.arguments import is_whole
from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import counted, interrupted, output_option
from prodctl.terminal.prompt import confirm_options

F = TypeVar("F", bound=Callable[..., Any])

_FIELDS = ", ".join(row.name for row in IN_BULK)


@click.group(cls=NounGroup)
def bulk() -> None:
    """Edit or delete all products that match a filter, after a preview.

    Exactly the products of the preview are changed, each in the version that was shown: one that another user changes
    meanwhile is refused and stays as it is. A filter is needed, or --all. While a shard does not answer,
    nothing is done; --shard leaves it out.

    Exit status 0 all done, 5 some were refused, 6 some could not be done now, 7 some outcomes are unknown. The same
    command again settles 6 and 7.

    \b
    Examples:
      prodctl product bulk edit --category lácteos --set price=1.20 --dry-run
      prodctl product bulk rm --stock-max 0 --inactive
    """


def _running_options(command: F) -> F:
    """What edit and rm share: the filter, the preview, the confirmation, the report."""
    options = (
        filter_options,
        click.option("--all", "everything", is_flag=True, help="All products: no filter is needed."),
        click.option("--dry-run", is_flag=True, help="Only the preview."),
        click.option(
            "--refused",
            type=click.File("w", encoding="utf-8-sig", lazy=False),
            metavar="FILE",
            help="Write what was not done as CSV: id, name, variant, version, status, code, message.",
        ),
        confirm_options,
        output_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@bulk.command()
@click.option("--set", "values", multiple=True, metavar="FIELD=VALUE", help=f"One of {_FIELDS}.")
@click.option("--add-tag", "add_tags", multiple=True, help="Add this tag; may be given several times.")
@click.option("--remove-tag", "remove_tags", multiple=True, help="Remove this tag; may be given several times.")
@_running_options
def edit(values: tuple[str, ...], add_tags: tuple[str, ...], remove_tags: tuple[str, ...], **how: Any) -> int:
    """Change fields of all products that match a filter.

    \b
    Examples:
      prodctl product bulk edit --category lácteos --set price=1.20 --dry-run
      prodctl product bulk edit --search aceite --set active=no --add-tag retirado
      prodctl product bulk edit --tag oferta --remove-tag oferta --refused r.csv
    """
    from prodcore.errors import InvalidInput
    from prodcore.product.model import BulkPatch
    from prodcore.support.validation import validate

    changes: dict[str, Any] = {"set": dict(map(_assignment, values))} if values else {}
    changes |= {name: list(tags) for name, tags in (("add_tags", add_tags), ("remove_tags", remove_tags)) if tags}
    if not changes:
        raise InvalidInput("nothing to change is given", hint="--set FIELD=VALUE, --add-tag or --remove-tag")
    if "set" in changes:
        validate(BulkPatch, changes["set"])  # before anything is looked for
    return _run("edit", changes, **how)


@bulk.command()
@_running_options
def rm(**how: Any) -> int:
    """Delete all products that match a filter; they can be restored for some days.

    \b
    Examples:
      prodctl product bulk rm --category "verano 2024" --dry-run
      prodctl product bulk rm --stock-max 0 --inactive
    """
    return _run("delete", {}, **how)


def _run(
    action: str,
    changes: dict[str, Any],
    *,
    everything: bool,
    dry_run: bool,
    refused: IO[str] | None,
    yes: bool,
    no_input: bool,
    output: str,
    **filters: Any,
) -> int:
    from prodcore.errors import InvalidInput
    from prodcore.routing import fold
    from prodctl.importing.bulk import BulkRun, confirm_count, show_preview, show_report

    query = query_of(filters)
    narrows = any(name != "search" or fold(words) for name, words in query.items())
    if narrows == everything:
        raise InvalidInput("--all takes no filter" if everything else "no filter is given", hint="a filter, or --all")
    with BulkRun(open_client(), action, changes) as run:
        with interrupted("Nothing was changed."):
            run.collect(query)
            show_preview(run)
            if dry_run or not run.count:
                return 0
            confirm_count(run, yes=yes, no_input=no_input)
        try:
            return show_report(run.work(refused), output)
        except KeyboardInterrupt as interruption:
            interruption.add_note(
                f"Done: {run.done:,} of {counted(run.count, 'product')}; up to {run.under_way:,} more may be."
            )
            interruption.add_note("Run the same command again for the rest.")
            raise


def _assignment(text: str) -> tuple[str, Any]:
    """``FIELD=VALUE`` as the REST API wants it. Raises InvalidInput."""
    from prodcore.errors import InvalidInput
    from prodcore.tabular.cells import CellRefused, read_active

    name, sign, value = text.partition("=")
    if not sign:
        raise InvalidInput(f"{text!r} is not FIELD=VALUE", hint="--set price=1.20")
    kind = BY_NAME[name].kind if name in BY_NAME else "text"
    if kind == "flag":
        try:
            return name, read_active(value)
        except CellRefused:
            raise InvalidInput(f"{name}: {value!r} is not yes or no") from None
    if kind == "count" and not is_whole(value):
        raise InvalidInput(f"{name}: {value!r} is not a whole number")
    return name, int(value) if kind == "count" else value
