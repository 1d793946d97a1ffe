"""Where weights come from: what a training run was, written into files and read back."""

import dataclasses
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self, get_origin, get_type_hints

import numpy as np

from mnistzoo._version import __version__
from mnistzoo.dataset_spec import DIGITS

if TYPE_CHECKING:
    import torch

_MOST_CHARACTERS = 100_000  # of JSON; a run has some 3,000


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a training run was; nothing but what JSON can hold.

    Attributes:
        model: its registered name, or that of its class or factory.
        plugin: the distribution that registered it; empty for a model of one's own.
        plugin_version: of the distribution.
        recipe_name: of the model's recipe; empty for a recipe of one's own.
        overrides: the fields of that recipe, but for the seed, that had another value.
        recipe: every field of the recipe that was followed.
        fit: the path of the function that trained it, of a model with one of its own.
        initial_weights: SHA-256 of the file that the model began with; empty if the seed drew them.
        seed: of the run.
        epochs_completed: that the weights went through.
        complete: whether these are all epochs of the recipe.
        final: whether the validation split was trained on too.
        dataset: the name of the data set; empty for images of one's own. That of a folder of one's
            own says that it is unverified.
        classes: the names of the labels.
        training_images: how many were trained on; None where 0.1 did not record it.
        checksums: file name to checksum of the data set's files.
        evaluated: whether the weights were evaluated on the test set.
        metrics: such as ``test_accuracy`` and ``validation_accuracy``, 0 to 1.
        train_seconds: from the first step to the end of the last complete epoch.
        train_threads: that the run computed with; None where 0.1 did not record it.
        precision: of the training steps, ``"float32"`` or ``"bfloat16"``.
        environment: device, processor, versions; see :func:`environment`.
    """

    model: str
    plugin: str = ""
    plugin_version: str = ""
    recipe_name: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any]
    fit: str = ""
    initial_weights: str = ""
    seed: int
    epochs_completed: int
    complete: bool = True
    final: bool
    dataset: str = ""
    classes: list[str] = field(default_factory=lambda: list(DIGITS))
    training_images: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
    evaluated: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    train_seconds: float
    train_threads: int | None = None
    precision: str = "float32"
    environment: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, metadata: Mapping[str, Any]) -> Self:
        """Build it from what :meth:`to_dict` returned; further keys are left out.

        Texts lose their control characters: the file may be anybody's.

        Raises:
            ValueError: if something is missing, as in weights that were not trained by mnistzoo,
                or of a wrong kind.
        """
        known = {each.name: each for each in dataclasses.fields(cls)}
        given = {name: _printable(metadata[name]) for name in known if name in metadata}
        kinds = get_type_hints(cls)
        if wrong := sorted(name for name in given if not _fits(given[name], kinds[name])):
            raise ValueError(f"its metadata has values of a wrong kind in {', '.join(wrong)}")
        try:
            return cls(**given)
        except TypeError as error:
            needed = {
                name
                for name, each in known.items()
                if each.default is dataclasses.MISSING
                and each.default_factory is dataclasses.MISSING
            }
            missing = ", ".join(sorted(needed - metadata.keys()))
            raise ValueError(f"its metadata has no {missing}") from error

    def to_json(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build it from what :meth:`to_json` returned.

        Raises:
            ValueError: if it is longer than 100,000 characters, or no such JSON.
        """
        if len(text) > _MOST_CHARACTERS:
            raise ValueError(
                f"its metadata has {len(text):,} characters, which is not a training run"
            )
        try:
            metadata = json.loads(text)
            if isinstance(metadata, dict):
                return cls.from_dict(metadata)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError("its metadata is not the JSON of a training run") from error
        raise ValueError("its metadata is not the JSON of a training run")


def _printable(value: Any) -> Any:
    """Return what JSON can hold, the texts in it without control characters."""
    if isinstance(value, str):
        return "".join(each if each.isprintable() else "?" for each in value)
    if isinstance(value, Mapping):
        return {_printable(name): _printable(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(each) for each in value]
    return value


def _fits(value: object, kind: Any) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float)
    if kind == list[str]:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, Mapping if get_origin(kind) is Mapping else kind)


def environment(device: "torch.device") -> dict[str, Any]:
    """Return what a timing must name besides its threads: device, processor, versions."""
    import torch  # not needed to read a file's provenance

    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "versions": {
            "mnistzoo": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            **{name: version(name) for name in ("onnx", "onnxruntime") if find_spec(name)},
        },
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
