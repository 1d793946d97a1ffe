"""Whether the weights in a file are for the classes of some data, as far as the file says."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnistzoo.dataset_spec import DIGITS
from mnistzoo.errors import one_line
from mnistzoo.fields import DATASET_NAME
from mnistzoo.registry import ModelError

if TYPE_CHECKING:
    from mnistzoo.data import Dataset

_SOME = 5  # classes that a message names


def classes_told(metadata: Mapping[str, Any]) -> Sequence[object] | None:
    """Return the names of the classes in the metadata of a file of weights; None without any."""
    # The training of 0.1, which names a plugin, knew no others and did not name them.
    classes = metadata.get("classes", DIGITS if "plugin" in metadata else None)
    return classes if isinstance(classes, list | tuple) else None


def require_classes(
    path: str | os.PathLike[str],
    classes: Sequence[object] | None,
    dataset: object,
    data: "Dataset",
) -> None:
    """Refuse a file that names other classes than the data has.

    Args:
        path: of the file.
        classes: that it names, if it does.
        dataset: that it names as the one that it was trained on, if it does. Without one the names
            of the ten digits say nothing: a split of one's own has them by default.
        data: that it is to be used on.

    Raises:
        ModelError: with what to do instead.
    """
    if classes is None:
        return
    own, wanted = ([one_line(str(each)) for each in names] for names in (classes, data.classes))
    trained_on = one_line(dataset) if isinstance(dataset, str) else ""
    if own == wanted or (not trained_on and len(wanted) == len(own) and own == [*DIGITS]):
        return
    mends = []
    if trained_on != data.name or not data.verified:  # folders may have one name
        on = f", {trained_on}," if trained_on else ""
        name = f" {trained_on}" if DATASET_NAME.fullmatch(trained_on) else ""
        mends.append(
            f"name the data set that it was trained on{on} with --dataset{name} (in Python, "
            "dataset=)"
        )
    first, has = 0, str(len(wanted))
    if len(own) == len(wanted):
        first = next(at for at, name in enumerate(own) if name != wanted[at])
        has = f"others ({_listed(wanted, first)})"
        if wanted == [*map(str, range(len(wanted)))] and not data.verified:
            mends.append(f"write their names into {Path(data.reference, 'classes.txt')}")
    raise ModelError(
        f"{os.fspath(path)} has {len(own)} classes ({_listed(own, first)}), but {data.name} has "
        f"{has}; {', or '.join(mends) or 'train it again'}"
    )


def require_as_many(
    path: str | os.PathLike[str], classes: Sequence[object] | None, wanted: int
) -> None:
    """Refuse a file to begin a training with that names more classes than there are, or fewer.

    Raises:
        ModelError: with what to do instead.
    """
    if classes is None or len(classes) == wanted:
        return
    names = [one_line(str(each)) for each in classes]
    raise ModelError(
        f"{os.fspath(path)} has {len(names)} classes ({_listed(names)}), but the data to train on "
        f"has {wanted}; begin with weights for {wanted} classes, or without any"
    )


def _listed(names: Sequence[str], first: int = 0) -> str:
    """Return some names of classes, from the first that matters."""
    some = [*names[first : first + _SOME]]
    before, after = first > 0, len(names) > first + _SOME
    return ", ".join([*before * ["..."], *some, *after * ["..."]])
