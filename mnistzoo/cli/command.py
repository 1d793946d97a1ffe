"""What every command and group of commands has in common."""

from typing import Any

import click

from mnistzoo.errors import suggestion
from mnistzoo.output import stdout_for_results


class Command(click.Command):
    """A command that has stdout for its results alone, whatever plugins print."""

    def invoke(self, ctx: click.Context) -> Any:
        with stdout_for_results():
            return super().invoke(ctx)


class Group(click.Group):
    """A group of such commands that answers a misspelt one with its nearest."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = suggestion(args[0], known) or f"take one of {', '.join(known)}"
            ctx.fail(f"there is no command {args[0]!r}; {near}")
        return super().resolve_command(ctx, args)
