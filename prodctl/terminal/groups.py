"""Groups of commands: other words for a command, suggestions for a wrong one, and a group that is a command too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

ALIASES = {
    "ls": "list",
    "get": "show",
    "create": "add",
    "new": "add",
    "update": "edit",
    "delete": "rm",
    "remove": "rm",
    "revoke": "rm",
    "rm-shard": "remove-shard",
}
"""What people try, and the command that does it, in every group that has it."""


class NounGroup(click.Group):
    """The commands of one noun. ``elsewhere`` names, for words that belong to no command here, what does it."""

    group_class = type  # a group within a group is one of these too

    def __init__(self, *args: Any, elsewhere: Mapping[str, str] | None = None, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._elsewhere = elsewhere or {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named first, under its own name. Raises UsageError with what may be meant."""
        word = args[0]
        known = self.list_commands(ctx)
        if word not in known and ALIASES.get(word) in known:
            args = [ALIASES[word], *args[1:]]
        elif word not in known and not word.startswith("-") and not ctx.resilient_parsing:
            ctx.fail(f"No such command {word!r}.{self._suggestion(ctx, word, known)}")
        return super().resolve_command(ctx, args)

    def _suggestion(self, ctx: click.Context, word: str, known: list[str]) -> str:
        from difflib import get_close_matches

        meant = {name: name for name in known}
        meant |= {alias: name for alias, name in ALIASES.items() if name in known} | dict(self._elsewhere)
        close = get_close_matches(word, meant, cutoff=0.75)
        if word in meant:  # nothing is closer
            close = [word]
        found = [f"{ctx.command_path} {name}" for name in dict.fromkeys(meant[match] for match in close)]
        return f" Did you mean {' or '.join(found)}?" if found else ""


class _InPlaceOfItsGroup(click.Context):
    """The context of a command that is called by its group's name."""

    @property
    def command_path(self) -> str:
        return super().command_path.rstrip()


class DefaultGroup(NounGroup):
    """``import FILE`` beside ``import undo ID``: calls ``default`` for all that does not begin with a command's name.

    Its help is that command's.
    """

    def __init__(self, *, default: click.Command, **settings: Any) -> None:
        super().__init__(help=default.help, short_help=default.short_help, no_args_is_help=True, **settings)
        self._default = default
        default.context_class = _InPlaceOfItsGroup

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave all that is not ``--help`` alone to the command that it is for, an own ``--`` included."""
        own = not args or args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if own else ["--", *args])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named first, else the default one with everything that is given."""
        if args and (args[0] in self.commands or ALIASES.get(args[0]) in self.commands):
            return super().resolve_command(ctx, args)
        return None, self._default, args

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and what the default command takes first."""
        if incomplete.startswith("-"):
            return self._default.shell_complete(ctx, incomplete)
        arguments = [p for p in self._default.params if isinstance(p, click.Argument)][:1]
        taken = [item for argument in arguments for item in argument.shell_complete(ctx, incomplete)]
        return [*super().shell_complete(ctx, incomplete), *taken]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """How the default command is called."""
        self._default.format_usage(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options of the default command, and the other commands."""
        click.Command.format_options(self._default, ctx, formatter)
        self.format_commands(ctx, formatter)
