"""A new plugin from the templates in ``mnistzoo/templates``: a whole distribution that works."""

import contextlib
import datetime
import errno
import importlib.metadata
import keyword
import os
import re
import string
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import Version

from mnistzoo._version import __version__
from mnistzoo.errors import MnistzooError
from mnistzoo.files import expanded, publish, temporary_folder
from mnistzoo.missing import install_command
from mnistzoo.registry import registry

_TEMPLATES = Path(__file__).parent / "templates" / "plugin"
_MODULE = re.compile(r"[a-z][a-z0-9_]*")
_FOLDERS = {"benchmarks", "dist", "tests"}  # of the new plugin, beside that of the module


class ScaffoldError(MnistzooError):
    """The name or the place of a new plugin cannot be used."""


@dataclass(frozen=True)
class NewPlugin:
    """What was written.

    Attributes:
        folder: of the distribution.
        model: the name that it registers.
    """

    folder: Path
    model: str


def new_plugin(name: str, directory: str | os.PathLike[str] = ".") -> NewPlugin:
    """Write a plugin that installs, registers a small net, trains, exports and passes the checks.

    Args:
        name: of the distribution, as package indexes take it, such as ``"my-digits"``. The module
            has underscores instead, and the model the module's name without ``mnistzoo_``.
        directory: where the folder ``name`` is made; it must exist.

    Raises:
        ScaffoldError: if the name cannot be that of a distribution, a module and a model, or is
            taken; or if the folder is there already.
        OSError: if it cannot be written; nothing is left of it then.
    """
    module = _module(name)
    model = module.removeprefix("mnistzoo_")
    if not _MODULE.fullmatch(model):
        raise ScaffoldError(
            f"{name!r} gives the model {model!r}, which cannot name one; begin with a letter after "
            "mnistzoo-"
        )
    known = registry()
    if model in known.registrations or model in known.conflicts:
        raise ScaffoldError(f"a model named {model!r} is installed already; take another name")
    parent = expanded(directory)
    if not parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a directory; make it first", str(directory))
    folder = parent / name
    if folder.exists() or folder.is_symlink():
        raise ScaffoldError(f"{folder} is there already; take another name or another --directory")
    facts = {
        "distribution": name,
        "module": module,
        "model": model,
        "versions": version_range(__version__),
        "install_mnistzoo": install_command(),
        "year": str(datetime.date.today().year),
    }
    try:
        with temporary_folder(parent, ".mnistzoo-plugin-") as beside:
            whole = beside / name
            for template in sorted(_TEMPLATES.rglob("*.template")):
                target = whole / _target(template, module)
                target.parent.mkdir(parents=True, exist_ok=True)
                text = string.Template(template.read_text("utf-8")).substitute(facts)
                target.write_text(text, "utf-8")
            publish(whole, folder)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    return NewPlugin(folder, model)


def version_range(version: str) -> str:
    """Return the versions of mnistzoo that a plugin written for this one works with.

    Those of its minor version; of a development or pre-release of the first of them, too.
    """
    release = Version(version)
    first = f"{release.major}.{release.minor}"
    earliest = first if release >= Version(first) else f"{first}.dev0"
    return f">={earliest},<{release.major}.{release.minor + 1}"


def _module(name: str) -> str:
    """Return the name of the plugin's module."""
    try:
        canonicalize_name(name, validate=True)
        name.encode("ascii")  # older versions of packaging take the Kelvin sign for a K
    except (InvalidName, UnicodeEncodeError):
        raise ScaffoldError(
            f"{name!r} cannot name a distribution; take letters, digits and single dashes, such as "
            "my-digits"
        ) from None
    module = re.sub(r"[-_.]+", "_", name).lower()
    if not _MODULE.fullmatch(module) or keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise ScaffoldError(
            f"{name!r} gives the module {module!r}, which Python cannot import; begin with a "
            "letter, and take no keyword"
        )
    if module in _FOLDERS or module in sys.stdlib_module_names or find_spec(module) is not None:
        raise ScaffoldError(
            f"{name!r} gives the module {module!r}, and one of that name is there already; take "
            "another name"
        )
    # Installing it would replace a distribution whose module has another name, as pillow's PIL.
    with contextlib.suppress(PackageNotFoundError):
        version = importlib.metadata.version(name)
        raise ScaffoldError(f"{name} {version} is installed already; take another name")
    return module


def _target(template: Path, module: str) -> Path:
    """Return where a template goes: ``package`` is the module, and ``dot-`` stands for a dot."""
    parts = template.relative_to(_TEMPLATES).with_suffix("").parts
    return Path(*(module if part == "package" else part.replace("dot-", ".", 1) for part in parts))
