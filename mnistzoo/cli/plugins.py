"""``mnistzoo plugins``: what each plugin registered, what failed and why."""

from typing import TYPE_CHECKING, Any

import click

from mnistzoo.cli.command import Command
from mnistzoo.cli.options import json_option, wide_option
from mnistzoo.output import say

if TYPE_CHECKING:
    from mnistzoo.plugins import Plugin
    from mnistzoo.report.table import Table

    _Problem = tuple[str, str]  # a sentence and a traceback
    _Found = tuple[Plugin, list[_Problem]]


@click.command("plugins", cls=Command)
@wide_option
@json_option
def command(wide: bool, json_file: str | None) -> None:
    """List the installed plugins and what is wrong with them.

    Creates each model once to see whether it works.
    """
    from mnistzoo.plugins import load_plugins
    from mnistzoo.report.json import write_json

    found = [(plugin, _problems(plugin)) for plugin in load_plugins()]
    if json_file:
        write_json([_facts(plugin, problems) for plugin, problems in found], json_file)
    if json_file != "-":
        _table(found).show(wide=wide)
        for plugin, problems in found:
            for problem, traceback in problems:
                say(f"{plugin.provider}: {problem}\n{traceback}")


def _problems(plugin: "Plugin") -> "list[_Problem]":
    """Return what is wrong with a plugin, each a sentence and a traceback."""
    from mnistzoo.errors import format_traceback
    from mnistzoo.models import create_model, load_model
    from mnistzoo.registry import ModelError, dataset_registry, describe_conflict, registry

    known, datasets = registry(), dataset_registry()
    found = [(plugin.error, plugin.traceback)] if plugin.error else []
    for dataset in plugin.datasets:
        if dataset.name in datasets.conflicts:
            claimants = datasets.conflicts[dataset.name]
            found.append((describe_conflict(dataset.name, claimants), ""))
    for spec in plugin.specs:
        contested = [name for name in spec.names if name in known.conflicts]
        found += [(describe_conflict(name, known.conflicts[name]), "") for name in contested]
        if spec.name in known.registrations:
            try:
                if spec.is_onnx:
                    load_model(spec.name)
                else:
                    create_model(spec.name)
            except ModelError as error:
                found.append((str(error), format_traceback(error)))
    return found


def _facts(plugin: "Plugin", problems: "list[_Problem]") -> dict[str, Any]:
    return {
        "distribution": plugin.distribution,
        "version": plugin.version,
        "entry_point": plugin.entry_point,
        "location": plugin.location,
        "enabled": plugin.enabled,
        "models": [spec.name for spec in plugin.specs],
        "datasets": [spec.name for spec in plugin.datasets],
        "problems": [problem for problem, _ in problems],
        "traceback": "\n".join(traceback for _, traceback in problems),
    }


def _table(found: "list[_Found]") -> "Table[_Found]":
    from mnistzoo.report.figures import NOTHING
    from mnistzoo.report.table import Column, Table

    def registered(row: "_Found") -> str:
        models = [spec.name for spec in row[0].specs]
        return ", ".join([*models, *(spec.name for spec in row[0].datasets)]) or NOTHING

    def state(row: "_Found") -> str:
        plugin, problems = row
        return "failed" if problems else "works" if plugin.enabled else "switched off"

    columns: list[Column[_Found]] = [
        Column("plugin", lambda row: row[0].distribution),
        Column("version", lambda row: row[0].version or NOTHING, priority=1),
        Column("loaded from", lambda row: row[0].location or row[0].entry_point),
        Column("registers", registered, priority=2),
        Column("state", state, priority=3),
    ]
    return Table(columns, found)
