"""``mnistzoo check``: whether models keep the contract."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import check_writable, json_option
from mnistzoo.output import results

if TYPE_CHECKING:
    from mnistzoo.testing.runner import Result


@click.command("check", cls=Command)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=completion.models)
@click.option(
    "--quick",
    is_flag=True,
    help="On every tenth test image, while you develop; before a release, check on all.",
)
@click.option(
    "--isolated",
    is_flag=True,
    help="Each model in a process of its own, and look for side effects too.",
)
@json_option
def command(models: tuple[str, ...], quick: bool, isolated: bool, json_file: str | None) -> int:
    """Check that MODELs keep the contract of the zoo.

    Their plugins' own tests do the same. Without MODEL, all that are installed. Trains a few steps
    and exports each, so it takes seconds to a minute a model.
    """
    check_writable(json_file)

    import dataclasses
    import functools
    import sys

    from mnistzoo.missing import plugin_command
    from mnistzoo.registry import ModelError, find, registry
    from mnistzoo.report.json import write_json
    from mnistzoo.testing.runner import count

    if isolated:
        from mnistzoo.workers.discovery import discovered

        known = registry(discovered())
    else:
        known = registry()
    contested = {each.spec.name for claimants in known.conflicts.values() for each in claimants}
    chosen = list(dict.fromkeys(models)) or sorted({*known.names(), *contested})
    if not chosen:
        raise ModelError(f"no model is installed; `{plugin_command()}` installs one")
    for model in chosen:  # an unknown name is found before minutes are spent on the others
        if model not in known.conflicts:
            find(known, model)
    found = []
    # With --json - stdout is for the facts alone.
    show = functools.partial(click.echo, file=sys.stderr if json_file == "-" else results())
    for model in chosen:
        show(model)
        of_model = []
        for result in (_run_apart if isolated else _run_here)(model, quick=quick):
            of_model.append(result)
            status = result.status.upper() if result.bad else result.status
            message = f": {result.message}" if result.message else ""
            show(f"  {status:18} {result.check}{message}")
        show(f"  {count(of_model)}")
        found += of_model
    if json_file:
        write_json([dataclasses.asdict(result) for result in found], json_file)
    return 1 if any(result.bad for result in found) else 0


def _run_apart(model: str, *, quick: bool) -> Iterator["Result"]:
    from mnistzoo.workers.checks import run_checks_apart

    return run_checks_apart(model, quick=quick)


def _run_here(model: str, *, quick: bool) -> Iterator["Result"]:
    from mnistzoo.testing.checks import CHECKS
    from mnistzoo.testing.runner import run_check

    for check in CHECKS:
        yield run_check(model, check, quick=quick)
