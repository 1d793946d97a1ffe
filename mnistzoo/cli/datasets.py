"""``mnistzoo datasets``: which data sets are there. Imports no torch."""

from typing import TYPE_CHECKING, Any

import click

from mnistzoo.cli.command import Command
from mnistzoo.cli.options import json_option, wide_option

if TYPE_CHECKING:
    from mnistzoo.registry import DatasetRegistration
    from mnistzoo.report.table import Table


@click.command("datasets", cls=Command)
@wide_option
@json_option
def command(wide: bool, json_file: str | None) -> None:
    """List the data sets and where each comes from."""
    from mnistzoo.plugins import load_plugins
    from mnistzoo.registry import dataset_registry, describe_conflict
    from mnistzoo.report.json import write_json

    known = dataset_registry()
    found = [known.registrations[name] for name in sorted(known.registrations)]
    problems = [f"{p.provider} failed to load: {p.error}" for p in load_plugins() if p.error]
    for name, claimants in sorted(known.conflicts.items()):
        problems.append(describe_conflict(name, claimants))
        click.echo(f"mnistzoo: {problems[-1]}", err=True)
    if json_file:
        write_json({"datasets": [_facts(each) for each in found], "problems": problems}, json_file)
    if json_file != "-":
        _table(found).show(wide=wide)


def _facts(registration: "DatasetRegistration") -> dict[str, Any]:
    spec, plugin = registration.spec, registration.plugin
    return {
        "name": spec.name,
        "summary": spec.summary,
        "classes": list(spec.classes),
        "train_images": spec.train_images,
        "validation_images": spec.validation_size,
        "test_images": spec.test_images,
        "license": spec.license,
        "source": spec.source,
        "found": _found(registration),
        "sources": list(spec.sources),
        "provider": plugin.distribution,
        "version": plugin.version,
    }


def _found(registration: "DatasetRegistration") -> list[str]:
    """Return the folders with its files; empty where some are missing."""
    from mnistzoo.data import Dataset

    return [str(path.absolute()) for path in Dataset(registration.spec).where()]


def _table(found: "list[DatasetRegistration]") -> "Table[DatasetRegistration]":
    from mnistzoo.report.figures import NOTHING, grouped
    from mnistzoo.report.table import Column, Table

    columns: list[Column[DatasetRegistration]] = [
        Column("data set", lambda each: each.spec.name),
        Column("classes", lambda each: grouped(len(each.spec.classes)), "right", 6),
        Column("training", lambda each: grouped(each.spec.train_images), "right", 5),
        Column("test", lambda each: grouped(each.spec.test_images), "right", 5),
        Column("licence", lambda each: each.spec.license or NOTHING, priority=3),
        Column("found in, or comes from", _where, priority=4),
        Column("plugin", lambda each: each.plugin.provider, priority=1),
        Column("summary", lambda each: each.spec.summary),
    ]
    return Table(columns, found)


def _where(registration: "DatasetRegistration") -> str:
    """Return the folder with its training files, or the host that they would come from."""
    from urllib.parse import urlsplit

    from mnistzoo.data import Dataset
    from mnistzoo.report.figures import NOTHING

    if Dataset(registration.spec).ships:
        return "its package"
    if found := _found(registration):
        return found[0]
    hosts = (urlsplit(source).hostname for source in registration.spec.sources)
    return next((host for host in hosts if host), NOTHING)
