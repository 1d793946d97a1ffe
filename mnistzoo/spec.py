"""What a plugin says about a model: ``ModelSpec``, ``Recipe``, ``Weights``.

Standard library only: importing a plugin must not import torch.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal, get_args

Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine", "one-cycle", "step"]
Precision = Literal["float32", "bfloat16"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CHOICES = {"optimizer": Optimizer, "schedule": Schedule, "precision": Precision}
_MOST = {
    "final_rate": 1,
    "rotation": 180,
    "shift": 28,
    "elastic": 28,
    "erasing": 1,
    "teacher_weight": 1,
}
_BELOW = {"label_smoothing": 1, "scale": 1, "shear": 90, "ema_decay": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a model is trained: data for the trainer, never code.

    Attributes:
        epochs: passes over the training images, at least 1.
        batch_size: images a step, at least 1; the last batch of an epoch may be smaller.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"`` (Nesterov momentum 0.9).
        learning_rate: the highest learning rate of the schedule, above 0.
        weight_decay: the optimizer's own kind: L2 for adam and sgd, decoupled for adamw.
        schedule: ``"constant"``; ``"cosine"``: a cosine fall to zero (arXiv 1608.03983);
            ``"one-cycle"``: a linear rise over the first quarter of the steps before it (after
            arXiv 1708.07120); ``"step"``: a tenth after half of the steps and again after three
            quarters (as arXiv 1512.03385 trains on CIFAR-10).
        final_rate: where ``cosine`` and ``one-cycle`` end, as a share of ``learning_rate``, 0 to 1.
        label_smoothing: from 0 up to, not including, 1 (arXiv 1512.00567).
        rotation: the largest angle by which an image is turned, either way, in degrees, 0 to 180.
        scale: the largest change of width, and of height, as a fraction of it, from 0 below 1.
        shift: the largest shift, across and down, in pixels, 0 to 28.
        shear: the largest angle by which upright lines are slanted, in degrees, from 0 below 90.
        elastic: standard deviation of the smooth distortion, across and down, in pixels, 0 to 28.
        erasing: probability that a rectangle of an image is erased, 0 to 1.
        crop: side of a square window, at a random place in the image, that is scaled up to 28x28,
            in pixels, 1 to 28; 28 takes the whole image. In evaluation the model itself has to
            scale up the middle of its images.
        plain_epochs: how many of the last epochs are without augmentation (with ``crop`` they see
            the middle), from 0 to ``epochs``.
        ema_decay: of the exponential moving average of weights and buffers that becomes the trained
            model, from 0 (no averaging) below 1; it is lower in the first steps.
        clip_norm: the gradient's largest norm, above 0; longer ones are scaled down to it.
            None: no clipping.
        precision: ``"bfloat16"`` runs convolutions and matrix products of the training steps in
            mixed precision, on a CPU only if it has the arithmetic, since it is several times
            slower without; weights and evaluation stay float32.
        compile: run the training steps through ``torch.compile``.
        teacher: name of a registered model with shipped weights whose logits on the same images are
            learned along with the labels (arXiv 1503.02531). None: no distillation.
        teacher_weight: the teacher's share of the loss, 0 to 1.
        temperature: divides teacher's and model's logits before their cross entropy, above 0.
        threads: of the CPU, at least 1; the weights depend on it in their last bits. More are worth
            it for large nets on an idle machine. None: torch's own number, which is every core.
        seed: of the initial weights, the order of the images, dropout and augmentation.

    Raises:
        ValueError: if a value is outside its range.
    """

    epochs: int
    batch_size: int
    optimizer: Optimizer
    learning_rate: float
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    final_rate: float = 0.0
    label_smoothing: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    shear: float = 0.0
    elastic: float = 0.0
    erasing: float = 0.0
    crop: float = 28.0
    plain_epochs: int = 0
    ema_decay: float = 0.0
    clip_norm: float | None = None
    precision: Precision = "float32"
    compile: bool = False
    teacher: str | None = None
    teacher_weight: float = 0.5
    temperature: float = 2.0
    threads: int | None = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value, known = getattr(self, name), get_args(choices)
            _require(value in known, f"{name} is {value!r}, it must be one of {known}")
        for name in ("epochs", "batch_size", "threads"):
            value = getattr(self, name)
            _require(
                (isinstance(value, int) and 1 <= value < 2**31)
                or (value is None and name == "threads"),
                f"{name} is {value!r}, it must be a whole number of at least 1",
            )
        numbers = ("learning_rate", "temperature", "clip_norm", "weight_decay", "crop")
        for name in (*numbers, *_MOST, *_BELOW):
            value = getattr(self, name)
            _require(
                isinstance(value, int | float) or (value is None and name == "clip_norm"),
                f"{name} is {value!r}, it must be a number",
            )
        for name in ("learning_rate", "temperature", "clip_norm"):
            value = getattr(self, name)
            _require(
                (value is None and name == "clip_norm") or 0 < value < float("inf"),
                f"{name} is {value!r}, it must be above 0 and finite",
            )
        decay = self.weight_decay
        _require(
            0 <= decay < float("inf"), f"weight_decay is {decay}, it must be at least 0 and finite"
        )
        for name, most in _MOST.items():
            value = getattr(self, name)
            _require(0 <= value <= most, f"{name} is {value}, it must be from 0 to {most}")
        for name, limit in _BELOW.items():
            value = getattr(self, name)
            _require(
                0 <= value < limit, f"{name} is {value}, it must be at least 0 and below {limit}"
            )
        _require(1 <= self.crop <= 28, f"crop is {self.crop}, it must be from 1 to 28")
        plain = self.plain_epochs
        _require(
            isinstance(plain, int) and 0 <= plain <= self.epochs,
            f"plain_epochs is {plain!r}, it must be a whole number from 0 to {self.epochs}, the "
            "number of epochs",
        )
        _require(isinstance(self.compile, bool), f"compile is {self.compile!r}, not True or False")
        _require(
            self.teacher is None or _NAME.fullmatch(self.teacher) is not None,
            f"teacher is {self.teacher!r}, it must be the name of a model",
        )
        _require(
            isinstance(self.seed, int) and 0 <= self.seed < 2**63,
            f"seed is {self.seed}, it must be a whole number from 0 to 2**63 - 1",
        )


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
            inside and path.suffix == ".safetensors" and _is_line(self.file),
            f"weights file {self.file!r} must be a .safetensors path inside the plugin",
        )
        _require(_is_line(self.measured), f"weights measured {self.measured!r} must be one line")
        _require(
            _SHA256.fullmatch(self.sha256) is not None,
            f"weights sha256 {self.sha256!r} must be 64 lower-case hexadecimal digits",
        )
        _require_metrics(self.metrics, "of the weights")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """One model, as its plugin registers it.

    The model itself takes float32 images ``(N, 1, 28, 28)`` with pixels divided by 255, so 0 to 1,
    and returns logits ``(N, 10)``. Any further normalisation happens inside it.

    Attributes:
        name: how users ask for it, ``[a-z][a-z0-9_]*``.
        summary: one line.
        factory: ``"package.module:callable"``; imported on first use, called without arguments,
            returns the ``torch.nn.Module``; with ``members`` it is called with theirs.
        num_params: the exact number of its parameters; every creation is checked against it.
        recipes: by name; ``"default"`` must be there, and ``"reference"``
            where a published recipe exists. A model that mnistzoo does not train has none: one with
            ``members``, or one that ships weights which came about in another way.
        weights: trained weights that the plugin ships, if any.
        members: names of other registered models, with shipped weights, that this one is made of;
            it is not trained and ships no weights of its own.
        metrics: of a model with ``members``, as in :class:`Weights`.
        measured: how they came about, as in :class:`Weights`.
        tags: free words, such as ``"convolutional"``.
        aliases: further names.
        license: SPDX identifier of the model's code and weights.
        source: where the architecture comes from: a paper, an address.
        expected_failures: names of checks (see :mod:`mnistzoo.testing`) that the model cannot pass,
            each with the reason.

    Raises:
        ValueError: if a value breaks a rule above.
    """

    name: str
    summary: str
    factory: str
    num_params: int
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    weights: Weights | None = None
    members: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    measured: str = ""
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    license: str = ""
    source: str = ""
    expected_failures: Mapping[str, str] = field(default_factory=dict)

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
            _require(
                _is_line(getattr(self, attribute)),
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
            isinstance(self.recipes, Mapping)
            and all(
                isinstance(k, str) and _NAME.fullmatch(k) and isinstance(v, Recipe)
                for k, v in self.recipes.items()
            ),
            f"recipes {where} must map names, [a-z][a-z0-9_]*, to Recipe objects",
        )
        _require(
            isinstance(self.members, tuple)
            and all(isinstance(each, str) and _NAME.fullmatch(each) for each in self.members)
            and not set(self.members) & set(self.names),
            f"members {where} must be a tuple of names of other models",
        )
        if self.members:
            _require(
                not self.recipes and self.weights is None,
                f"recipes and weights {where} must be left out, since it has members",
            )
        else:
            _require(
                "default" in self.recipes or (self.weights is not None and not self.recipes),
                f"recipes {where} must hold one named 'default', or be left out beside weights",
            )
        _require(
            bool(self.members) or not (self.metrics or self.measured),
            f"metrics and measured {where} must be left out, since they stand in its weights",
        )
        _require_metrics(self.metrics, where)
        _require(_is_line(self.measured), f"measured {where} must be one line")
        _require(
            self.weights is None or isinstance(self.weights, Weights),
            f"weights {where} must be a Weights object or None",
        )
        _require(
            isinstance(self.tags, tuple) and all(map(_is_line, self.tags)),
            f"tags {where} must be a tuple of words",
        )
        _require(
            isinstance(self.expected_failures, Mapping)
            and all(
                _is_line(check) and _is_line(reason) and reason
                for check, reason in self.expected_failures.items()
            ),
            f"expected_failures {where} must map names of checks to reasons, each one line",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then the aliases."""
        return (self.name, *self.aliases)

    @property
    def declared_metrics(self) -> Mapping[str, float]:
        """Those of the weights, or of the model with members; empty where none are declared."""
        return self.metrics if self.weights is None else self.weights.metrics


def _require_metrics(metrics: Mapping[str, float], where: str) -> None:
    for name, value in metrics.items():
        _require(_is_line(name), f"metric {name!r} {where} must be one line")
        _require(0 <= value <= 1, f"metric {name!r} {where} is {value}, it must be from 0 to 1")


def _is_line(text: object) -> bool:
    return isinstance(text, str) and text.isprintable()


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
