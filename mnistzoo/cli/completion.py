"""What the shell's Tab key offers: commands, options, models, recipes, data sets, files."""

import os
import sys

import click
from click.shell_completion import CompletionItem, shell_complete

from mnistzoo.output import stdout_for_results

_VARIABLE = "_MNISTZOO_COMPLETE"


def complete(group: click.Group) -> None:
    """Answer the shell and exit, if this process was started for its completion."""
    if instruction := os.environ.get(_VARIABLE):
        if instruction.endswith("_complete"):
            # What plugins print, or fail with, would stand in the middle of what is being typed.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.exit(shell_complete(group, {}, "mnistzoo", _VARIABLE, instruction))


def models(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the installed models and their aliases that begin so."""
    from mnistzoo.registry import registry

    with stdout_for_results():  # the shell reads stdout
        names = registry().registrations
    return [
        CompletionItem(name, help=names[name].spec.summary)
        for name in sorted(names)
        if name.startswith(incomplete)
    ]


def datasets(incomplete: str) -> list[CompletionItem]:
    """Offer the data sets that begin so."""
    from mnistzoo.registry import dataset_registry

    with stdout_for_results():
        names = dataset_registry().registrations
    return [
        CompletionItem(name, help=names[name].spec.summary)
        for name in sorted(names)
        if name.startswith(incomplete)
    ]


def models_or_files(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer models, or where none begins so files: bash shows one kind only."""
    return models(context, parameter, incomplete) or [CompletionItem(incomplete, type="file")]


def recipes(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer the recipes of the models that the line names, or of all if it names none yet."""
    from mnistzoo.registry import registry

    with stdout_for_results():
        known = registry().registrations
    # The option that is being completed has no value yet, so click has given up before it came to
    # the arguments, and left them as they are.
    named = [name for name in context.args if name in known]
    specs = [known[name].spec for name in named or known]
    offered = {recipe for spec in specs for recipe in spec.recipes}
    return [CompletionItem(name) for name in sorted(offered) if name.startswith(incomplete)]
