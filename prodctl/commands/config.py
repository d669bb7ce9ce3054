"""``prodctl config``: every setting, its value and where it comes from."""

from __future__ import annotations

import click

from prodctl.terminal.output import columns, output_option, print_rows


@click.group()
def config() -> None:
    """Every setting, its value and where it comes from."""


@config.command()
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@output_option
def show(origin: bool, output: str) -> None:
    """Show every setting and its value; secrets are masked.

    A setting is looked for in the environment, then in the env file (PRODCTL_ENV_FILE, else the one that
    `local up` wrote), in systemd credentials, and in the TOML file (PRODCTL_CONFIG, else
    ~/.config/prodctl/config.toml). The first place that has it wins.

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
