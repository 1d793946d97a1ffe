"""``mnistzoo models``: which models are installed. Imports no torch."""

from typing import TYPE_CHECKING, Any

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import json_option, wide_option
from mnistzoo.spec import DEFAULT_DATASET

if TYPE_CHECKING:
    from mnistzoo.registry import Registration
    from mnistzoo.report.table import Table


@click.command("models", cls=Command)
@click.argument("pattern", default="*", shell_complete=completion.models)
@wide_option
@json_option
def command(pattern: str, wide: bool, json_file: str | None) -> int:
    """List the installed models.

    With PATTERN, such as 'res*', only those whose names match.
    """
    from mnistzoo.plugins import load_plugins
    from mnistzoo.registry import describe_conflict, list_models, registry
    from mnistzoo.report.json import write_json

    known = registry()
    found = [known.registrations[name] for name in list_models(pattern)]
    problems = [f"{p.provider} failed to load: {p.error}" for p in load_plugins() if p.error]
    for name, claimants in known.conflicts.items():
        problems.append(describe_conflict(name, claimants))
        click.echo(f"mnistzoo: {problems[-1]}", err=True)
    if json_file:
        write_json({"models": [_facts(each) for each in found], "problems": problems}, json_file)
    if not found:
        what = (
            "no model is installed" if pattern == "*" else f"no installed model matches {pattern!r}"
        )
        click.echo(f"mnistzoo: {what}; {_what_next(pattern)}", err=True)
        return 1
    if json_file != "-":
        _table(found).show(wide=wide)
    return 0


def _facts(registration: "Registration") -> dict[str, Any]:
    spec, plugin = registration.spec, registration.plugin
    return {
        "name": spec.name,
        "aliases": _aliases(registration),
        "summary": spec.summary,
        "params": spec.num_params,
        "arguments": dict(spec.arguments),
        "stochastic": spec.stochastic,
        "recipes": sorted(spec.recipes),
        "metrics": dict(spec.metrics_on(DEFAULT_DATASET)) or None,
        "datasets": [weights.dataset for weights in spec.all_weights],
        "tags": list(spec.tags),
        "license": spec.license,
        "source": spec.source,
        "provider": plugin.distribution,
        "version": plugin.version,
    }


def _aliases(registration: "Registration") -> list[str]:
    """Return those that no other model claims."""
    from mnistzoo.registry import registry

    known = registry().registrations
    return [alias for alias in registration.spec.aliases if alias in known]


def _table(found: "list[Registration]") -> "Table[Registration]":
    from mnistzoo.report.figures import NOTHING, grouped, percent
    from mnistzoo.report.table import Column, Table

    columns: list[Column[Registration]] = [
        Column("model", lambda each: each.spec.name),
        Column("parameters", lambda each: grouped(each.spec.num_params), "right", 5),
        Column("accuracy %", lambda each: percent(_accuracy(each)), "right", 6),
        Column("aliases", lambda each: ", ".join(_aliases(each)) or NOTHING, priority=2),
        Column("recipes", lambda each: ", ".join(sorted(each.spec.recipes)) or NOTHING, priority=3),
        Column("plugin", lambda each: each.plugin.provider, priority=1),
        Column("summary", lambda each: each.spec.summary),
    ]
    return Table(columns, found)


def _accuracy(registration: "Registration") -> float | None:
    return registration.spec.metrics_on(DEFAULT_DATASET).get("test_accuracy")


def _what_next(pattern: str) -> str:
    from mnistzoo.errors import suggestion
    from mnistzoo.registry import list_models

    lower = pattern.lower()
    near = suggestion(pattern, [lower] if list_models(lower) else list_models())
    return f"{near and near + ' '}`mnistzoo plugins` shows what is installed"
