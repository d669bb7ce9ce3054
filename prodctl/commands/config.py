"""``prodctl config`` and ``completion``: this program's settings, and its words in a shell."""

from __future__ import annotations

import click

from prodctl.terminal.groups import NounGroup
from prodctl.terminal.output import columns, output_option, print_rows, print_text


@click.group(cls=NounGroup)
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
