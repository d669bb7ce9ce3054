"""``prodctl doctor``: what is wrong or risky here, each with its fix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prodctl.terminal.output import columns, output_option, print_rows, print_text, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prodcore.replicaset.diagnostic import Diagnostic
    from prodcore.settings import Settings

EXIT_PROBLEMS = 6

_COLUMNS = columns("Group", "Subject", "Severity", "Text", "Fix", "Code+")
_MARKS = {"ok": "✓", "note": "·", "warning": "!", "problem": "✗", "skipped": "–"}


@click.command()
@output_option
def doctor(output: str) -> int:
    """Examine this machine and this system, and say what to repair.

    Versions with known holes, secrets that others may read, ports beyond loopback, members, clocks, disks, what the
    layout does not survive, keys and tokens that expire. Works with no system, with the one of `local up`, and with a
    deployment. Changes nothing. Exit status 6 when there is a problem; warnings and notes leave it at 0.

    \b
    Examples:
      prodctl doctor
      prodctl doctor -o json
    """
    from prodcore.app.doctor import examine
    from prodcore.replicaset.diagnostic import Severity, count

    found = examine(_ask)
    problems, warnings = (count((d for _, d in found), s) for s in (Severity.PROBLEM, Severity.WARNING))
    if output in ("table", "wide"):
        _show(found)
        print_text(f"\nProblems: {problems}, warnings: {warnings}")
    else:
        rows = [{"group": group, **diagnostic.as_dict()} for group, diagnostic in found]
        print_rows(rows, _COLUMNS, output, kind="doctor", extra={"problems": problems, "warnings": warnings})
    return EXIT_PROBLEMS if problems else 0


def _show(found: Sequence[tuple[str, Diagnostic]]) -> None:
    shown = ""
    for group, one in found:
        if group != shown:
            print_text(("\n" if shown else "") + group.capitalize())
            shown = group
        print_text(visible(f"  {_MARKS[one.severity]} {one.subject}: {one.text}"))
        if one.fix and one.severity != "ok":
            print_text(visible(f"      {one.fix}"))


def _ask(settings: Settings, path: str) -> Any:
    """``GET`` with the token or login of this user as it is: the doctor refreshes nothing."""
    from prodcore.settings import SecretStr
    from prodctl.client.api import ApiClient, Credentials

    login = Credentials(settings.state_dir).get(settings.url.rstrip("/"))
    if settings.token is None and login:
        settings = settings.changed(token=SecretStr(login.access_token))
    return ApiClient(settings).call("GET", path)
