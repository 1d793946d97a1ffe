"""What the shell's Tab key offers: commands, options, models, recipes, files."""

import logging
import os
import sys

import click
from click.shell_completion import CompletionItem, shell_complete

from mnistzoo.output import stdout_for_results

_VARIABLE = "_MNISTZOO_COMPLETE"


def complete(group: click.Group) -> None:
    """Answer the shell and exit, if this process was started for its completion."""
    if instruction := os.environ.get(_VARIABLE):
        logging.disable()  # a broken plugin's line would stand in the middle of what is typed
        sys.exit(shell_complete(group, {}, "mnistzoo", _VARIABLE, instruction))


def models(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the installed models and their aliases that begin so."""
    from mnistzoo.zoo import registrations

    with stdout_for_results():  # the shell reads stdout
        names, _ = registrations()
    return [
        CompletionItem(name, help=names[name].spec.summary)
        for name in sorted(names)
        if name.startswith(incomplete)
    ]


def models_or_files(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer models, and files besides."""
    return [*models(context, parameter, incomplete), CompletionItem(incomplete, type="file")]


def recipes(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the recipes of the models that the line names, or of all if it names none yet."""
    from mnistzoo.zoo import registrations

    with stdout_for_results():
        known, _ = registrations()
    given = context.params.get("models") or context.params.get("model") or ()
    named = [given] if isinstance(given, str) else list(given)
    specs = [known[name].spec for name in named or known if name in known]
    offered = {recipe for spec in specs for recipe in spec.recipes}
    return [CompletionItem(name) for name in sorted(offered) if name.startswith(incomplete)]
