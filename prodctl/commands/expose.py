"""``prodctl expose``: the way in from the internet."""

from __future__ import annotations

import click

from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import columns, message, output_option, print_rows

EXIT_BROKEN = 6

_COLUMNS = columns("Hop=name", "Where", "Outcome", "Found=text", "Fix+")


@click.group(cls=NounGroup)
def expose() -> None:
    """The way in from the internet: container, proxy device, VM, tunnel."""


@expose.command()
@click.option("--url", default="", metavar="PUBLIC", help="The public https address, as scripts/tunnel or ngrok says.")
@output_option
def check(url: str, output: str) -> int:
    """Walk every hop from the inside out, and name the first that is broken.

    Hops that do not apply (no deployment, no public address) are skipped. Nothing is changed. Exit status 6 when a
    hop is broken.

    \b
    Examples:
      prodctl expose check
      prodctl expose check --url https://example.ngrok-free.app
    """
    from dataclasses import asdict

    from prodcore.app.expose import walk_in
    from prodcore.expose.walk import first_broken
    from prodcore.settings import load_settings

    hops = walk_in(load_settings(), url)
    rows = [asdict(hop) | {"outcome": hop.outcome.value, "fix": hop.fix or None} for hop in hops]
    print_rows(rows, _COLUMNS, output, kind="expose_check")
    broken = first_broken(hops)
    if broken:
        message(f"Broken at {broken.name}: {broken.text}\nFix:  {broken.fix}")
    return EXIT_BROKEN if broken else 0
