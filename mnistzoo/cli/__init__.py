"""The command line: one file a command, imported only when its command is used."""

import contextlib
import importlib
import logging
import os
import sys

import click

from mnistzoo._version import __version__
from mnistzoo.cli.command import Group
from mnistzoo.cli.completion import complete
from mnistzoo.errors import MnistzooError, describe, describe_os_error, reason
from mnistzoo.missing import hidden_module, why_not_imported
from mnistzoo.output import escape_what_cannot_be_encoded

_COMMANDS = (
    *("models", "datasets", "plugins", "data", "train", "evaluate", "compare", "plot", "export"),
    *("predict", "draw", "new-plugin", "check", "ship"),
)
_FAILED = 1


class _Commands(Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(f"mnistzoo.cli.{cmd_name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mnistzoo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error; works anywhere.")
def group(debug: bool) -> None:
    """A zoo of handwritten-digit classifiers: train, evaluate and compare them."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage."""
    escape_what_cannot_be_encoded()
    complete(group)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    logging.basicConfig(format="mnistzoo: %(message)s", level="WARNING", stream=sys.stderr)
    logging.getLogger("mnistzoo").setLevel("DEBUG" if debug else "INFO")
    try:
        status = group.main(words, prog_name="mnistzoo", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("mnistzoo: interrupted", err=True)
        status = _FAILED
    except BrokenPipeError:
        _drop_stdout()  # the reader has left: nobody is there for a message either
        status = _FAILED
    except SystemExit as error:
        if error.code != 1:  # so rich and click say that the reader has left
            # From a model: one that calls sys.exit(0) is not done.
            click.echo(f"mnistzoo: {_sentence(error)}", err=True)
        _drop_stdout()
        status = _FAILED
    except Exception as error:
        if debug:
            raise
        click.echo(f"mnistzoo: {_sentence(error)}", err=True)
        status = error.exit_code if isinstance(error, MnistzooError) else _FAILED
        if isinstance(error, OSError):
            _drop_stdout()
    sys.exit(status if isinstance(status, int) else 0)


def _drop_stdout() -> None:
    """Send what stdout still holds nowhere; Python would flush it at exit, fail and exit 120."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error: BaseException) -> str:
    if isinstance(error, MnistzooError):
        return reason(error)
    if isinstance(error, OSError) and error.filename is not None:
        return describe_os_error(error)
    if isinstance(error, ImportError):
        return f"{why_not_imported(error)} (--debug shows where)"
    if hidden := hidden_module(error):
        return f"{hidden} (--debug shows where)"
    return f"unexpected {describe(error)} (--debug shows where)"
