"""``prodctl completion``: the script that makes a shell complete prodctl's words."""

from __future__ import annotations

import click

from prodctl.terminal.output import print_text


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    Install it for your user:
      prodctl completion bash > ~/.local/share/bash-completion/completions/prodctl
      prodctl completion zsh  > "${fpath[1]}/_prodctl"
      prodctl completion fish > ~/.config/fish/completions/prodctl.fish

    \b
    Or try it in this shell only:
      source <(prodctl completion bash)

    The folders must exist; open a new shell afterwards. bash needs the package bash-completion and bash 4.4.
    """
    from click.shell_completion import get_completion_class

    program = ctx.find_root().command
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101  click knows the three shells of the choice above
    print_text(made(program, {}, "prodctl", "_PRODCTL_COMPLETE").source())
