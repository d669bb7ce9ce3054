"""The ``prodctl`` command: which commands there are. Each is imported only when it is called."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from prodctl import __version__
from prodctl.terminal.groups import ALIASES, NounGroup

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Products and users (through the REST API)": {
        "login": ("account:login", "Log in; the first time, as the first admin."),
        "logout": ("account:logout", "End the login on this machine."),
        "whoami": ("account:whoami", "Who is logged in, with which role."),
        "product": ("product:product", "Add, find, edit, delete and import products."),
        "account": ("account:account", "Your own password, logins and second factor."),
        "user": ("user:user", "Who may use the catalogue, and with which role."),
        "token": ("token:token", "Credentials for cron and CI."),
        "key": ("token:key", "The keys that sign access tokens."),
        "audit": ("user:audit", "Who did what, when, and from where."),
    },
    "Shards and replica sets (straight to the members)": {
        "shard": ("shard:shard", "Which shard a name belongs to, and what each shard holds."),
        "cluster": ("cluster:cluster", "Shards and their members: roles, health, lag."),
        "failover-test": ("failover_test:failover_test", "Kill a primary under load and prove that nothing is lost."),
        "backup": ("backup:backup", "Back up everything into one directory, and restore from it."),
    },
    "Incus containers": {
        "deploy": ("deploy:deploy", "The system in Incus containers: plan, apply, inspect, destroy."),
    },
    "This machine": {
        "local": ("local:local", "The whole system on this machine: start, inspect, stop."),
        "expose": ("doctor:expose", "The way in from the internet, hop by hop."),
        "doctor": ("doctor:doctor", "What is wrong or risky on this machine, each with its fix."),
        "config": ("doctor:config", "Every setting, its value and where it comes from."),
        "completion": ("doctor:completion", "Completion for bash, zsh and fish."),
    },
}

_COMMANDS = {name: entry for section in _SECTIONS.values() for name, entry in section.items()}

_PRODUCT = ("add", "show", "edit", "rename", "rm", "list", "import", "export", "bulk", "history", "restore")
_ELSEWHERE = {
    **{word: f"product {word}" for word in _PRODUCT},
    **{word: f"product {command}" for word, command in ALIASES.items() if command in _PRODUCT},
    **{word: f"local {word}" for word in ("up", "down", "logs", "start", "stop", "destroy")},
    **{word: f"cluster {word}" for word in ("status", "topology", "lint", "switchover", "guard")},
    **{word: f"shard {word}" for word in ("where", "split", "verify", "repair")},
    **{word: f"deploy {word}" for word in ("plan", "apply", "diff", "render")},
    **dict.fromkeys(("search", "find"), "product list --search WORDS"),
    **dict.fromkeys(("dump", "mongodump"), "backup create"),
    "mongorestore": "backup restore",
    "undo": "product import undo",
    "failover": "failover-test",
    "drill": "failover-test",
    "passwd": "account password",
    "register": "account register",
    "settings": "config show",
    "help": "--help",
}
"""What people type without its noun."""


class LazyGroup(NounGroup):
    """A group that imports a command when it is called, and shows its own help without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"prodctl.commands.{module}"), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing any command."""
        from click.shell_completion import CompletionItem

        if incomplete and not incomplete[0].isalnum():
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(n, help=text) for n, (_at, text) in _COMMANDS.items() if n.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above."""
        for title, entries in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_target, text) in entries.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"prodctl {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    elsewhere=_ELSEWHERE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it.")
@click.option("--debug", is_flag=True, envvar="PRODCTL_DEBUG", help="Show where an unexpected error comes from.")
@click.pass_context
def prodctl(ctx: click.Context, debug: bool) -> None:
    """A product catalogue spread over MongoDB replica sets.

    \b
    Examples:
      prodctl local up                             start everything here
      prodctl product add "Arroz" --price 1.20     add a product
      prodctl shard where "Ñandú"                  which shard, and why
      prodctl failover-test rsA                    rehearse a failover

    Data goes to stdout, messages to stderr. Exit status: 0 done, 1 unexpected, 2 bad input or settings,
    3 not found, 4 not allowed, 5 conflict, 6 not available (nothing happened), 7 outcome unknown,
    8 drill failed, 9 drill proved nothing, 10 done but the output could not be written, 130 interrupted.
    """
    ctx.obj = {"debug": debug}


def main(argv: list[str] | None = None) -> None:
    """Run the command line and leave with its exit status."""
    from prodctl.terminal.output import run_and_exit

    run_and_exit(prodctl, argv)
