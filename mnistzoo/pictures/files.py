"""The files that somebody means who names pictures, directories of them, or patterns."""

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from mnistzoo.pictures.decode import SUFFIXES


@dataclass(frozen=True)
class Files:
    """What was meant by some names.

    Attributes:
        paths: in the order of the names, those of a directory or a pattern sorted.
        problems: a name that means no file to the sentence that says why; it is one of the paths.
        passed_over: paths in a directory that are not called like a picture.
    """

    paths: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    passed_over: list[str] = field(default_factory=list)


def picture_files(names: Iterable[str]) -> Files:
    """Return the files that names mean: each a file, a directory with pictures, or a pattern.

    Whether they can be read is found out by who reads them.
    """
    meant = Files()
    for name in names:
        if os.path.isdir(name):
            inside = sorted(glob.glob(os.path.join(glob.escape(name), "*")))
            found = [path for path in inside if path.lower().endswith(SUFFIXES)]
            meant.passed_over.extend(path for path in inside if path not in found)
            problem = f"{name} holds no picture that can be seen, such as a .png or .jpg file"
        elif not os.path.exists(name) and glob.has_magic(name):
            found = sorted(glob.glob(name, recursive=True))
            problem = f"{name} matches no file"
        else:
            found, problem = [name], ""
        if not found:
            meant.problems[name] = problem
        meant.paths.extend(found or [name])
    return meant
