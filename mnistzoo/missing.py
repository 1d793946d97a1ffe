"""Why a module cannot be imported or used: it is not installed, or a file hides it."""

import os
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

from mnistzoo.errors import MnistzooError, describe, one_line

_DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
}  # where the name of the module is not that of the distribution

# What pip installs mnistzoo by; ``{}`` is an extra, such as ``[onnx]``, or nothing. It is on no
# package index yet: the release that changes that makes this ``mnistzoo{}``.
REQUIREMENT = "mnistzoo{} @ git+https://github.com/mnistzoo/mnistzoo"


class MissingModuleError(MnistzooError, ImportError):
    """A module that mnistzoo needs is not installed, or hidden by a file of the same name."""


def install_command(extra: str = "") -> str:
    """Return the command that installs mnistzoo, with one of its extras if one is named."""
    return f'pip install "{REQUIREMENT.format(f"[{extra}]" if extra else "")}"'


def plugin_command() -> str:
    """Return the command that installs one of mnistzoo's own plugins, as an example of them all."""
    name = "mnistzoo-mnistnet"
    _, elsewhere, url = REQUIREMENT.format("").partition(" @ ")
    where = f" @ {url}#subdirectory=plugins/{name}" if elsewhere else ""
    return f'pip install "{name}{where}"'


def check_extra(extra: str, modules: Iterable[str], what: str) -> None:
    """Find out whether the modules of one of mnistzoo's extras are installed.

    Args:
        extra: its name.
        modules: that are needed.
        what: needs them, as the subject of a sentence.

    Raises:
        MissingModuleError: names the first that is missing, and what installs it.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingModuleError(
                f"{what} needs {module}; `{install_command(extra)}` installs it"
            )


def why_not_imported(error: ImportError) -> str:
    """Return in one sentence why an import failed and what to do next."""
    if hidden := hidden_module(error):
        return hidden
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return f"unexpected {describe(error)}"
    sentence = f"this needs the Python module {one_line(error.name)}, which is not installed"
    module = error.name.partition(".")[0]
    if module in _own_requirements():
        # As after `pip install --no-deps`, which is enough for an ONNX file alone.
        sentence += (
            f"; `pip install {_DISTRIBUTIONS.get(module, module)}` installs it, and "
            f"`{install_command()}` all that mnistzoo needs"
        )
    return sentence


def hidden_module(error: BaseException) -> str:
    """Return which file hides a module that is meant, and what to do; empty if none does.

    A ``numpy.py`` in the folder is imported in place of numpy, and fails in ways of its own.

    Args:
        error: what went wrong; a module whose import it ended is found through its traceback.
    """
    loaded = dict(_loaded(error))
    for name in sorted(loaded):
        if name in sys.stdlib_module_names and not _is_installed(loaded[name]):
            return _hides(loaded[name], name)
    # Imported late: it needs modules that may be hidden themselves.
    from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

    providers = packages_distributions()
    meant = {*providers, *_own_requirements()} - {"mnistzoo"}  # a clone holds it too
    for name in sorted(loaded.keys() & meant):
        if _is_installed(loaded[name]):
            continue
        try:
            known = distribution(providers.get(name, [_DISTRIBUTIONS.get(name, name)])[0])
        except PackageNotFoundError:
            return _hides(loaded[name], name)
        # One that names no modules is an editable installation, which may lie anywhere.
        if name in providers and not _lies_in(loaded[name], str(known.locate_file(""))):
            return _hides(loaded[name], name)
    return ""


def _hides(file: str, name: str) -> str:
    return one_line(
        f"{file} hides the Python module {name}, which is imported by that name; rename the file, "
        "or work in another folder"
    )


def _loaded(error: BaseException | None) -> Iterator[tuple[str, str]]:
    """Yield the top-level modules that are loaded or whose import failed, and their files."""
    namespaces = [
        vars(module) for module in list(sys.modules.values()) if hasattr(module, "__dict__")
    ]
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            namespaces.append(trace.tb_frame.f_globals)
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
    for namespace in namespaces:
        name, file = namespace.get("__name__"), namespace.get("__file__")
        if isinstance(name, str) and isinstance(file, str) and "." not in name:
            yield name, file


def _is_installed(file: str) -> bool:
    """Say whether the file is where Python's own modules or installed ones lie."""
    folders = os.path.realpath(file).split(os.sep)
    if "site-packages" in folders or "dist-packages" in folders:
        return True
    return _lies_in(file, os.path.dirname(os.__file__))


def _lies_in(file: str, folder: str) -> bool:
    return os.path.realpath(file).startswith(os.path.realpath(folder) + os.sep)


def _own_requirements() -> set[str]:
    """Return the modules that mnistzoo's own metadata require, in any of its extras."""
    import re
    from importlib.metadata import PackageNotFoundError, requires

    try:
        lines = requires("mnistzoo") or []
    except PackageNotFoundError:  # run from a clone that is not installed
        return set()
    names = {found[0] for line in lines if (found := re.match(r"[\w.-]+", line))}
    modules = {distribution: module for module, distribution in _DISTRIBUTIONS.items()}
    return {modules.get(name, name.replace("-", "_")) for name in names}
