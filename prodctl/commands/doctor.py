"""``prodctl doctor``, ``expose``, ``config`` and ``completion``: this machine, its settings, and what is wrong here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import columns, message, output_option, print_rows, print_text, visible

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
    """Check this machine and this system, and say what to fix.

    Versions with known vulnerabilities, secrets that others can read, ports beyond loopback, members, clocks, disks,
    failures that the layout does not survive, keys and tokens that expire. Works without a system, with that of `local
    up`, and with a deployment. Changes nothing. Exit status 6 when there is a problem; warnings and notes leave it at
    0.

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


EXIT_BROKEN = 6

_HOP_COLUMNS = columns("Hop=name", "Where", "Outcome", "Found=text~", "Fix+")


@click.group(cls=NounGroup)
def expose() -> None:
    """The way in from the internet: container, proxy device, VM, tunnel."""


@expose.command()
@click.option("--url", default="", metavar="PUBLIC", help="The public https address, as scripts/tunnel or ngrok says.")
@output_option
def check(url: str, output: str) -> int:
    """Check every hop from the inside out, and name the first that is broken.

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
    print_rows(rows, _HOP_COLUMNS, output, kind="expose_check")
    broken = first_broken(hops)
    if broken:
        message(f"Broken at {broken.name}: {broken.text}\nFix:  {broken.fix}")
    return EXIT_BROKEN if broken else 0


@click.group(cls=NounGroup)
def config() -> None:
    """Every setting, its value and where it comes from."""


@config.command()
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@output_option
def show(origin: bool, output: str) -> None:
    """Show every setting and its value; secrets are masked.

    A setting is read from the environment, then from the env file (PRODCTL_ENV_FILE, else the one that `local up`
    wrote), systemd credentials, and the TOML file (PRODCTL_CONFIG, else ~/.config/prodctl/config.toml). The first
    place that has it wins.

    \b
    Examples:
      prodctl config show
      prodctl config show --origin              where does each value come from?
      prodctl config show -o wide               with what each setting means
      PRODCTL_URL=http://10.10.10.11:3000 prodctl config show --origin
    """
    from prodcore.settings import explain_settings, load_settings

    rows = [
        {"setting": s.name, "variable": s.variable, "value": s.value, "origin": s.origin, "meaning": s.description}
        for s in explain_settings(load_settings())
    ]
    shown = columns("Setting", "Value", "Origin" if origin else "Origin+", "Variable+", "Meaning+")
    print_rows(rows, shown, output, kind="settings")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    Examples:
      prodctl completion bash > ~/.local/share/bash-completion/completions/prodctl
      prodctl completion zsh  > "${fpath[1]}/_prodctl"
      prodctl completion fish > ~/.config/fish/completions/prodctl.fish
      source <(prodctl completion bash)        in this shell only

    The folders must exist; open a new shell afterwards. bash needs the package bash-completion and bash 4.4.
    """
    from click.shell_completion import get_completion_class

    program = ctx.find_root().command
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101  click knows the three shells of the choice above
    print_text(made(program, {}, "prodctl", "_PRODCTL_COMPLETE").source())
