"""``prodctl doctor``: what is wrong or risky here, on one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prodctl.terminal.output import columns, output_option, print_rows, print_text, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prodcore.doctor.check import Check
    from prodcore.settings import Settings

EXIT_PROBLEMS = 6

_COLUMNS = columns("Group", "Subject", "State", "Text", "Fix")
_MARKS = {"ok": "✓", "note": "·", "warning": "!", "problem": "✗", "skipped": "–"}


@click.command()
@output_option
def doctor(output: str) -> int:
    """Look at this machine and this system, and say what to mend.

    Versions with known holes, secrets that others may read, ports beyond loopback, members, clocks, disks, what the
    layout does not survive, keys and tokens that end. Works with no system, with the one of `local up`, and with a
    deployment. Changes nothing. Exit status 6 when there is a problem; warnings and notes leave it at 0.

    \b
    Examples:
      prodctl doctor
      prodctl doctor -o json
    """
    from prodcore.app.doctor import examine
    from prodcore.doctor.check import State, count

    checks = examine(_ask)
    problems, warnings = count(checks, State.PROBLEM), count(checks, State.WARNING)
    if output in ("table", "wide"):
        _show(checks)
        print_text(f"\n{problems} to mend, {warnings} to think about")
    else:
        rows = [
            {"group": c.group, "subject": c.subject, "state": c.state.value, "text": c.text, "fix": c.fix or None}
            for c in checks
        ]
        print_rows(rows, _COLUMNS, output, kind="doctor", extra={"problems": problems, "warnings": warnings})
    return EXIT_PROBLEMS if problems else 0


def _show(checks: Sequence[Check]) -> None:
    group = ""
    for check in checks:
        if check.group != group:
            between = "\n" if group else ""
            print_text(f"{between}{check.group.capitalize()}")
            group = check.group
        print_text(visible(f"  {_MARKS[check.state]} {check.subject}: {check.text}"))
        if check.fix and check.state != "ok":
            print_text(visible(f"      {check.fix}"))


def _ask(settings: Settings, path: str) -> Any:
    """``GET`` with the token or login of this user as it is: the doctor refreshes nothing."""
    from pydantic import SecretStr

    from prodctl.client.api import ApiClient, Credentials

    login = Credentials(settings.state_dir).get(settings.url.rstrip("/"))
    if settings.token is None and login:
        settings = settings.model_copy(update={"token": SecretStr(login.access_token)})
    return ApiClient(settings).call("GET", path)
