"""What every command and group of commands has in common."""

from typing import Any

import click

from mnistzoo.errors import suggestion
from mnistzoo.output import stdout_for_results


class Command(click.Command):
    """A command whose options are given once, unless they are made to be repeated.

    It has stdout for its results alone, whatever plugins print.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Of an option given twice click takes the last value without a word.
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option in given:
            if (
                isinstance(option, click.Option)
                and not (option.is_flag or option.count or option.multiple)
                and given.count(option) > 1
                and not ctx.resilient_parsing  # as for shell completion
            ):
                raise click.UsageError(
                    f"{option.opts[-1]} is given {given.count(option)} times; give it once", ctx
                )
        return super().parse_args(ctx, args)

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
