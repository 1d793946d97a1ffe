"""``mnistzoo models``: which models are installed. Imports no torch."""

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import json_option


@click.command("models", cls=Command)
@click.argument("pattern", default="*", shell_complete=completion.models)
@json_option
def command(pattern: str, json_file: str | None) -> int:
    """List the installed models.

    With PATTERN, such as 'res*', only those whose names match.
    """
    from mnistzoo.errors import suggestion
    from mnistzoo.plugins import load_plugins
    from mnistzoo.registry import describe_conflict, list_models, registry
    from mnistzoo.report import NOTHING, Table, percent, write_json

    known = registry()
    names = known.registrations
    found = [names[name] for name in list_models(pattern)]
    problems = [f"{p.provider} failed to load: {p.error}" for p in load_plugins() if p.error]
    for name, claimants in known.conflicts.items():
        problems.append(describe_conflict(name, claimants))
        click.echo(f"mnistzoo: {problems[-1]}", err=True)
    if json_file:
        write_json(
            {
                "models": [
                    {
                        "name": spec.name,
                        "aliases": [alias for alias in spec.aliases if alias in names],
                        "summary": spec.summary,
                        "params": spec.num_params,
                        "recipes": sorted(spec.recipes),
                        "metrics": dict(spec.declared_metrics) or None,
                        "tags": list(spec.tags),
                        "license": spec.license,
                        "source": spec.source,
                        "provider": plugin.distribution,
                        "version": plugin.version,
                    }
                    for spec, plugin in ((each.spec, each.plugin) for each in found)
                ],
                "problems": problems,
            },
            json_file,
        )
    if not found:
        lower = pattern.lower()
        near = suggestion(pattern, [lower] if list_models(lower) else list_models())
        click.echo(
            f"mnistzoo: no installed model matches {pattern!r}; {near and near + ' '}"
            "`mnistzoo plugins` shows what is installed",
            err=True,
        )
        return 1
    if json_file != "-":
        Table(
            ["model", ">parameters", ">accuracy %", "aliases", "recipes", "plugin", "summary"],
            [
                [
                    each.spec.name,
                    f"{each.spec.num_params:,}",
                    percent(each.spec.declared_metrics.get("test_accuracy")),
                    ", ".join(alias for alias in each.spec.aliases if alias in names) or NOTHING,
                    ", ".join(sorted(each.spec.recipes)) or NOTHING,
                    each.plugin.provider,
                    each.spec.summary,
                ]
                for each in found
            ],
        ).show()
    return 0
