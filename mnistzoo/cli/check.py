"""``mnistzoo check``: whether models keep the contract."""

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import check_writable, json_option
from mnistzoo.output import results


@click.command("check", cls=Command)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=completion.models)
@click.option(
    "--quick",
    is_flag=True,
    help="On 1,000 of the 10,000 test images, while you develop; before a release, check on all.",
)
@json_option
def command(models: tuple[str, ...], quick: bool, json_file: str | None) -> int:
    """Check that MODELs keep the contract of the zoo, as their plugins' own tests do.

    Without MODEL, all that are installed. Trains a few steps and exports each, so it takes seconds
    to a minute a model.
    """
    check_writable(json_file)

    import dataclasses
    import functools
    import sys

    from mnistzoo.registry import ModelError, list_models, registry
    from mnistzoo.report.json import write_json
    from mnistzoo.testing.checks import CHECKS
    from mnistzoo.testing.runner import count, run_check
    from mnistzoo.testing.subject import Subject

    conflicts = registry().conflicts
    contested = {each.spec.name for claimants in conflicts.values() for each in claimants}
    chosen = list(dict.fromkeys(models)) or sorted({*list_models(), *contested})
    if not chosen:
        raise ModelError("no model is installed; install a plugin, such as mnistzoo-mnistnet")
    for model in chosen:
        Subject(model)  # an unknown name is found before minutes are spent on the others
    found = []
    # With --json - stdout is for the facts alone.
    show = functools.partial(click.echo, file=sys.stderr if json_file == "-" else results())
    for model in chosen:
        show(model)
        of_model = []
        for check in CHECKS:
            result = run_check(model, check, quick=quick)
            of_model.append(result)
            status = result.status.upper() if result.bad else result.status
            line = f"  {status:18} {check}{': ' if result.message else ''}{result.message}"
            show(line)
        show(f"  {count(of_model)}")
        found += of_model
    if json_file:
        write_json([dataclasses.asdict(result) for result in found], json_file)
    return 1 if any(result.bad for result in found) else 0
