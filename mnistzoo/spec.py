"""What a plugin says about a model: ``ModelSpec``, ``Recipe``, ``Weights``.

Standard library only: importing a plugin must not import torch.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, get_args

Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "one-cycle"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a model is trained: data for the trainer, never code.

    Attributes:
        epochs: passes over the training images, at least 1.
        batch_size: images a step, at least 1; the last batch of an epoch may be smaller.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"`` (Nesterov momentum 0.9).
        learning_rate: the highest learning rate of the schedule, above 0.
        weight_decay: the optimizer's own kind: L2 for adam and sgd, decoupled for adamw.
        schedule: ``"constant"``, or ``"one-cycle"``: a linear rise over the first quarter of the
            steps and a cosine fall to zero (after arXiv 1708.07120).
        label_smoothing: from 0 up to, not including, 1 (arXiv 1512.00567).
        seed: of the initial weights, the order of the images and dropout.

    Raises:
        ValueError: if a value is outside its range.
    """

    epochs: int
    batch_size: int
    optimizer: Optimizer
    learning_rate: float
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    label_smoothing: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for attribute in ("epochs", "batch_size"):
            value = getattr(self, attribute)
            _require(
                isinstance(value, int) and 1 <= value < 2**31,
                f"{attribute} is {value!r}, it must be a whole number of at least 1",
            )
        for attribute, choices in (("optimizer", Optimizer), ("schedule", Schedule)):
            value = getattr(self, attribute)
            known = get_args(choices)
            _require(value in known, f"{attribute} is {value!r}, it must be one of {known}")
        rate = self.learning_rate
        _require(0 < rate < float("inf"), f"learning_rate is {rate}, it must be above 0 and finite")
        decay = self.weight_decay
        _require(
            0 <= decay < float("inf"), f"weight_decay is {decay}, it must be at least 0 and finite"
        )
        smoothing = self.label_smoothing
        _require(
            0 <= smoothing < 1, f"label_smoothing is {smoothing}, it must be at least 0 and below 1"
        )
        _require(0 <= self.seed < 2**63, f"seed is {self.seed}, it must be from 0 to 2**63 - 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A safetensors file inside the plugin, and what was measured of it.

    Attributes:
        file: its path relative to the folder of the module that holds the factory.
        sha256: of the file, 64 lower-case hexadecimal digits.
        metrics: name to value; ``"test_accuracy"`` (0 to 1) on the official 10,000 test images.
        measured: how the metrics came about: recipe, seed, data, device, versions.

    Raises:
        ValueError: if the path leaves the plugin or the checksum is no SHA-256.
    """

    file: str
    sha256: str
    metrics: Mapping[str, float]
    measured: str

    def __post_init__(self) -> None:
        path = PurePosixPath(self.file)
        inside = not path.is_absolute() and ".." not in path.parts and "\\" not in self.file
        _require(
            inside and path.suffix == ".safetensors",
            f"weights file {self.file!r} must be a .safetensors path inside the plugin",
        )
        _require(
            _SHA256.fullmatch(self.sha256) is not None,
            f"weights sha256 {self.sha256!r} must be 64 lower-case hexadecimal digits",
        )
        for name, value in self.metrics.items():
            _require(0 <= value <= 1, f"weights metric {name!r} is {value}, it must be from 0 to 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """One model, as its plugin registers it.

    The model itself takes float32 images ``(N, 1, 28, 28)`` with pixels divided by 255, so 0 to 1,
    and returns logits ``(N, 10)``. Any further normalisation happens inside it.

    Attributes:
        name: how users ask for it, ``[a-z][a-z0-9_]*``.
        summary: one line.
        factory: ``"package.module:callable"``; imported on first use, called without arguments,
            returns the ``torch.nn.Module``.
        num_params: the exact number of its parameters; every creation is checked against it.
        recipes: by name; ``"default"`` must be there, and ``"reference"`` where a published recipe
            exists.
        weights: trained weights that the plugin ships, if any.
        tags: free words, such as ``"convolutional"``.
        aliases: further names.
        license: SPDX identifier of the model's code and weights.
        source: where the architecture comes from: a paper, an address.

    Raises:
        ValueError: if a value breaks a rule above.
    """

    name: str
    summary: str
    factory: str
    num_params: int
    recipes: Mapping[str, Recipe]
    weights: Weights | None = None
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    license: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        _require(isinstance(self.aliases, tuple), f"aliases {self.aliases!r} must be a tuple")
        for name in self.names:
            _require(
                isinstance(name, str) and _NAME.fullmatch(name) is not None,
                f"model name {name!r} must match [a-z][a-z0-9_]*",
            )
        where = f"of model {self.name!r}"
        _require(len(set(self.names)) == len(self.names), f"a name {where} occurs twice")
        for attribute in ("summary", "license", "source"):
            text = getattr(self, attribute)
            _require(
                isinstance(text, str) and text.isprintable(),
                f"{attribute} {where} must be one line of printable text",
            )
        _require(
            isinstance(self.factory, str) and _FACTORY.fullmatch(self.factory) is not None,
            f"factory {self.factory!r} {where} must be a string 'package.module:callable'",
        )
        _require(
            isinstance(self.num_params, int) and self.num_params >= 0,
            f"num_params {where} is {self.num_params!r}, it must be a whole number from 0",
        )
        _require(
            all(isinstance(k, str) and isinstance(v, Recipe) for k, v in self.recipes.items()),
            f"recipes {where} must map names to Recipe objects",
        )
        _require("default" in self.recipes, f"recipes {where} must hold one named 'default'")
        _require(
            self.weights is None or isinstance(self.weights, Weights),
            f"weights {where} must be a Weights object or None",
        )
        _require(
            isinstance(self.tags, tuple) and all(isinstance(tag, str) for tag in self.tags),
            f"tags {where} must be a tuple of words",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then the aliases."""
        return (self.name, *self.aliases)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
