"""``mnistzoo draw``: a page where people draw digits."""

import contextlib
import os
import sys
import threading
import webbrowser

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import FOLDER
from mnistzoo.cli.stopping import StopSignals


@click.command("draw", cls=Command)
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=completion.models_or_files)
@click.option(
    "--host",
    metavar="NAME",
    default="127.0.0.1",
    show_default=True,
    help="Whose requests are heard; 0.0.0.0 hears the whole network.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="N",
    default=8028,
    show_default=True,
    help="0 takes a free one.",
)
@click.option(
    "--waiting",
    type=click.IntRange(min=1),
    metavar="N",
    default=64,
    show_default=True,
    help="How many requests may wait; the next is told to try again later.",
)
@click.option("--no-open", is_flag=True, help="Do not open the browser.")
@click.option(
    "--static",
    "static_dir",
    type=FOLDER,
    metavar="DIR",
    help="Write the page into a new folder, for a static host, and serve nothing.",
)
@click.option(
    "--runtime",
    metavar="PLACE",
    help="With --static: where onnxruntime-web is, an address or a folder, which is copied.  "
    "[default: a pinned version on jsdelivr.net]",
)
def command(
    models: tuple[str, ...],
    host: str,
    port: int,
    waiting: int,
    no_open: bool,
    static_dir: str | None,
    runtime: str | None,
) -> None:
    """Serve a page where one draws digits and each MODEL reads them.

    A MODEL is a name or an .onnx file; without one, all that ship weights and can be exported are
    on offer. Each is exported once, checked, and kept in the cache. Ctrl-C ends it.
    """
    if static_dir is not None:
        _write_static(models, static_dir, runtime)
        return
    if runtime is not None:
        raise click.UsageError("--runtime needs --static")
    from mnistzoo.missing import MissingModuleError
    from mnistzoo.output import say
    from mnistzoo.web.models import is_exporting, offered

    try:
        from mnistzoo.web.guard import address
        from mnistzoo.web.server import create_app, listen, serve
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("starlette", "uvicorn"):
            raise
        raise MissingModuleError(
            f"the page needs {package}; `pip install starlette uvicorn` installs what it needs"
        ) from error
    with StopSignals(), contextlib.suppress(KeyboardInterrupt):
        offer = offered(models)
        with listen(host, port) as listening:
            for name in offer.chosen:
                offer.get(name)
            url = address(host, listening.getsockname()[1])
            say(f"Draw at {url}  (Ctrl-C ends it)")
            if not no_open:  # some browsers live in the terminal, and return when they are closed
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
            serve(create_app(offer, host=host, waiting=waiting), listening)
    if is_exporting():
        sys.stdout.flush()
        os._exit(0)  # else torch's threads, still at work, would abort the process as it ends


def _write_static(models: tuple[str, ...], folder: str, runtime: str | None) -> None:
    from mnistzoo.output import say
    from mnistzoo.web.models import offered
    from mnistzoo.web.site import RUNTIME, write_site

    offer = offered(models)
    write_site(folder, offer, runtime or RUNTIME)
    say(f"{folder}: the page with {', '.join(offer.chosen)}")
