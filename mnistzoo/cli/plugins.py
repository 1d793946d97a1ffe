"""``mnistzoo plugins``: what each plugin registered, what failed and why."""

import click

from mnistzoo.cli.command import Command
from mnistzoo.cli.options import json_option
from mnistzoo.output import say


@click.command("plugins", cls=Command)
@json_option
def command(json_file: str | None) -> None:
    """List the installed plugins and what is wrong with them.

    Creates each model once to see whether it works.
    """
    from mnistzoo.errors import format_traceback
    from mnistzoo.models import create_model
    from mnistzoo.plugins import Plugin, load_plugins
    from mnistzoo.registry import ModelError, describe_conflict, registry
    from mnistzoo.report import NOTHING, Table, write_json

    known = registry()

    def problems(plugin: Plugin) -> list[tuple[str, str]]:
        """Return the plugin's problems, each a sentence and a traceback."""
        found = [(plugin.error, plugin.traceback)] if plugin.error else []
        for spec in plugin.specs:
            contested = [name for name in spec.names if name in known.conflicts]
            found += [(describe_conflict(name, known.conflicts[name]), "") for name in contested]
            if spec.name in known.registrations:
                try:
                    create_model(spec.name)
                except ModelError as error:
                    found.append((str(error), format_traceback(error)))
        return found

    plugins = [(plugin, problems(plugin)) for plugin in load_plugins()]
    if json_file:
        write_json(
            [
                {
                    "distribution": plugin.distribution,
                    "version": plugin.version,
                    "entry_point": plugin.entry_point,
                    "location": plugin.location,
                    "enabled": plugin.enabled,
                    "models": [spec.name for spec in plugin.specs],
                    "problems": [problem for problem, _ in found],
                    "traceback": "\n".join(traceback for _, traceback in found),
                }
                for plugin, found in plugins
            ],
            json_file,
        )
    if json_file != "-":
        Table(
            ["plugin", "version", "loaded from", "models", "state"],
            [
                [
                    plugin.distribution,
                    plugin.version or NOTHING,
                    plugin.location or plugin.entry_point,
                    ", ".join(spec.name for spec in plugin.specs) or NOTHING,
                    "failed" if found else "works" if plugin.enabled else "switched off",
                ]
                for plugin, found in plugins
            ],
        ).show()
        for plugin, found in plugins:
            for problem, traceback in found:
                say(f"{plugin.provider}: {problem}\n{traceback}")
