"""A group whose name is a command too: ``import FILE`` beside ``import undo ID``."""

from __future__ import annotations

from typing import Any

import click


class _InPlaceOfItsGroup(click.Context):
    """The context of a command that is called by its group's name."""

    @property
    def command_path(self) -> str:
        return super().command_path.rstrip()


class DefaultGroup(click.Group):
    """Calls ``default`` for whatever does not begin with the name of a command; its help is that command's."""

    def __init__(self, *, default: click.Command, **settings: Any) -> None:
        super().__init__(
            help=default.help,
            short_help=default.short_help,
            no_args_is_help=True,
            context_settings={"ignore_unknown_options": True},  # they are the default command's
            **settings,
        )
        self._default = default
        default.context_class = _InPlaceOfItsGroup

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named first, else the default one with everything that is given."""
        if args and args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return None, self._default, args

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """How the default command is called."""
        self._default.format_usage(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options of the default command, and the other commands."""
        click.Command.format_options(self._default, ctx, formatter)
        self.format_commands(ctx, formatter)
