"""What a plugin says about a model: ``ModelSpec``, ``Recipe``, ``Weights``.

Standard library only: importing a plugin must not import torch.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, Literal

from mnistzoo.fields import check, flat_name, within

Optimizer = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine", "one-cycle", "step"]
Precision = Literal["float32", "bfloat16"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How training images are distorted by chance, each in its own way.

    Attributes:
        rotation: the largest angle by which an image is turned, either way, in degrees.
        scale: the largest change of width, and of height, as a fraction of it.
        shift: the largest shift, across and down, in pixels.
        shear: the largest angle by which upright lines are slanted, in degrees.
        elastic: standard deviation of a smooth distortion, across and down, in pixels.
        erasing: probability that a rectangle of 4 to 12 pixels a side is blackened.
        crop: side of a square window, at a random place in the image, that is scaled up to 28x28,
            in pixels; 28 takes the whole image. In evaluation the model itself has to scale up the
            middle of its images.
        plain_epochs: how many of the last epochs are without augmentation (with ``crop`` they see
            the middle), at most all.

    Raises:
        ValueError: if a value is outside its range.
    """

    rotation: float = field(default=0.0, metadata=within(0, 180))
    scale: float = field(default=0.0, metadata=within(0, 1, "left"))
    shift: float = field(default=0.0, metadata=within(0, 28))
    shear: float = field(default=0.0, metadata=within(0, 90, "left"))
    elastic: float = field(default=0.0, metadata=within(0, 28))
    erasing: float = field(default=0.0, metadata=within(0, 1))
    crop: float = field(default=28.0, metadata=within(1, 28))
    plain_epochs: int = field(default=0, metadata=within(0, 2**31 - 1))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Distillation:
    """A trained model whose logits on the same images are learned along with the labels.

    After Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv
    1503.02531.

    Attributes:
        teacher: name of a registered model with shipped weights.
        weight: the teacher's share of the loss.
        temperature: divides teacher's and model's logits before their cross entropy.

    Raises:
        ValueError: if a value is outside its range.
    """

    teacher: str
    weight: float = field(default=0.5, metadata=within(0, 1) | {"flat": "teacher_weight"})
    temperature: float = field(default=2.0, metadata=within(0, closed="neither"))

    def __post_init__(self) -> None:
        check(self)
        _require(
            _NAME.fullmatch(self.teacher) is not None,
            f"teacher is {self.teacher!r}, it must be the name of a model",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a model is trained: data for the trainer, never code.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step; the last batch of an epoch may be smaller.
        optimizer: ``"sgd"`` is with Nesterov momentum 0.9.
        learning_rate: the highest learning rate of the schedule.
        weight_decay: the optimizer's own kind: L2 for adam and sgd, decoupled for adamw.
        schedule: ``"cosine"``: a cosine fall to ``final_rate`` (arXiv 1608.03983);
            ``"one-cycle"``: a linear rise over the first quarter of the steps before it (after
            arXiv 1708.07120); ``"step"``: a tenth after half of the steps and again after three
            quarters (as arXiv 1512.03385 trains on CIFAR-10).
        final_rate: where ``"cosine"`` and ``"one-cycle"`` end, as a share of ``learning_rate``.
        label_smoothing: share of each label that is spread over all classes (arXiv 1512.00567).
        ema_decay: of the exponential moving average of weights and buffers that becomes the trained
            model; 0 does not average. It is lower in the first steps.
        clip_norm: the gradient's largest norm; longer ones are scaled down to it. None does not
            clip.
        precision: ``"bfloat16"`` runs convolutions and matrix products of the training steps in
            mixed precision, on a CPU only if it has the arithmetic, since it is several times
            slower without; weights and evaluation stay float32.
        compile: run the training steps through ``torch.compile``.
        threads: of the CPU; the weights depend on it in their last bits. More are worth it for
            large nets on an idle machine. None: torch's own number, which is every core.
        seed: of the initial weights, the order of the images, dropout and augmentation.
        augmentation: of the training images.
        distillation: from a teacher, or None.

    Raises:
        ValueError: if a value is outside its range.
    """

    epochs: int = field(metadata=within(1, 2**31 - 1))
    batch_size: int = field(metadata=within(1, 2**31 - 1))
    optimizer: Optimizer
    learning_rate: float = field(metadata=within(0, closed="neither"))
    weight_decay: float = field(default=0.0, metadata=within(0))
    schedule: Schedule = "constant"
    final_rate: float = field(default=0.0, metadata=within(0, 1))
    label_smoothing: float = field(default=0.0, metadata=within(0, 1, "left"))
    ema_decay: float = field(default=0.0, metadata=within(0, 1, "left"))
    clip_norm: float | None = field(default=None, metadata=within(0, closed="neither"))
    precision: Precision = "float32"
    compile: bool = False
    threads: int | None = field(default=1, metadata=within(1, 1_024))
    seed: int = field(default=0, metadata=within(0, 2**63 - 1))
    augmentation: Augmentation = Augmentation()
    distillation: Distillation | None = None

    def __post_init__(self) -> None:
        check(self)
        plain = self.augmentation.plain_epochs
        _require(
            plain <= self.epochs,
            f"plain_epochs is {plain}, it must be at most {self.epochs}, the number of epochs",
        )

    def flat(self) -> dict[str, int | float | str | None]:
        """Return all values by the names that :meth:`replace` takes, in one level.

        Without distillation the three fields of it are None.
        """
        own, augmentation = _values(self), _values(self.augmentation)
        taught = dict.fromkeys(map(flat_name, fields(Distillation)))
        if self.distillation is not None:
            taught = _values(self.distillation)
        return {name: own[name] for name in own if name not in _GROUPS} | augmentation | taught

    def replace(self, **changes: Any) -> "Recipe":
        """Return the recipe with other values in some fields.

        Args:
            changes: by the names of the fields, those of ``augmentation`` as if they were the
                recipe's own; those of ``distillation`` are ``teacher``, ``teacher_weight`` and
                ``temperature``. ``teacher=None`` ends it, whatever else is given of it.

        Raises:
            TypeError: if there is no such field.
            ValueError: if a value is outside its range, or belongs to a teacher and there is none.
        """
        for name in changes:
            if name not in recipe_fields():
                raise TypeError(
                    f"a recipe has no field {name!r}; it has {', '.join(recipe_fields())}"
                )
        values = self.flat() | changes
        taught = {
            name: values[name]
            for name in map(flat_name, fields(Distillation))
            if values[name] is not None
        }
        if taught and values["teacher"] is None and "teacher" not in changes:
            raise ValueError(f"there is no teacher for {', '.join(taught)}; set teacher too")
        return Recipe(
            **_part(Recipe, values),
            augmentation=Augmentation(**_part(Augmentation, values)),
            distillation=Distillation(**_part(Distillation, taught))
            if "teacher" in taught
            else None,
        )


_GROUPS = ("augmentation", "distillation")


@functools.cache
def recipe_fields() -> dict[str, Field[Any]]:
    """Return the fields of a recipe and of its two groups, by the names of :meth:`Recipe.flat`.

    A field's ``type`` is its kind; a number's range stands in its metadata, as ``"interval"``.
    """
    found = (*fields(Recipe), *fields(Augmentation), *fields(Distillation))
    return {flat_name(each): each for each in found if each.name not in _GROUPS}


def _values(group: Recipe | Augmentation | Distillation) -> dict[str, Any]:
    return {flat_name(each): getattr(group, each.name) for each in fields(group)}


def _part(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a group, out of all values by their flat names."""
    found = {each.name: flat_name(each) for each in fields(kind)}
    return {own: values[flat] for own, flat in found.items() if flat in values}


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A safetensors file inside the plugin, and what was measured of it.

    Attributes:
        file: its path relative to the folder of the factory's module, and inside it.
        sha256: of the file, 64 lower-case hexadecimal digits.
        metrics: name to value, 0 to 1; ``"test_accuracy"`` on the 10,000 official test images must
            be there for the check ``metrics``.
        measured: how the metrics came about, in one line: recipe, images, seed, versions.

    Raises:
        ValueError: if the path leaves the plugin or the checksum is no SHA-256.
    """

    file: str
    sha256: str
    metrics: Mapping[str, float]
    measured: str

    def __post_init__(self) -> None:
        _copy_mappings(self, "metrics")
        _require(type(self.file) is str, f"weights file {self.file!r} must be a string")
        path = PurePosixPath(self.file)
        inside = not path.is_absolute() and ".." not in path.parts and "\\" not in self.file
        _require(
            inside and path.suffix == ".safetensors" and _is_line(self.file),
            f"weights file {self.file!r} must be a .safetensors path inside the plugin",
        )
        _require(_is_line(self.measured), f"weights measured {self.measured!r} must be one line")
        _require(
            type(self.sha256) is str and _SHA256.fullmatch(self.sha256) is not None,
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
        factory: ``"package.module:callable"``; imported on first use, returns the
            ``torch.nn.Module``. It is called with the modules of the ``members``, if there are any,
            and with the keywords of ``create_model``; each has a default, ``num_classes`` 10.
        num_params: the exact number of its parameters; a model that is created without keywords is
            checked against it.
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
        license: SPDX identifier of the model's code and weights, such as ``"MIT"``.
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
        _copy_mappings(self, "recipes", "metrics", "expected_failures")
        _require(isinstance(self.aliases, tuple), f"aliases {self.aliases!r} must be a tuple")
        for name in self.names:
            _require(
                type(name) is str and _NAME.fullmatch(name) is not None,
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
            type(self.factory) is str and _FACTORY.fullmatch(self.factory) is not None,
            f"factory {self.factory!r} {where} must be a string 'package.module:callable'",
        )
        _require(
            type(self.num_params) is int and self.num_params >= 0,
            f"num_params {where} is {self.num_params!r}, it must be a whole number from 0",
        )
        _require(
            isinstance(self.recipes, Mapping)
            and all(
                type(k) is str and _NAME.fullmatch(k) and type(v) is Recipe
                for k, v in self.recipes.items()
            ),
            f"recipes {where} must map names, [a-z][a-z0-9_]*, to Recipe objects",
        )
        _require(
            isinstance(self.members, tuple)
            and all(type(each) is str and _NAME.fullmatch(each) for each in self.members)
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
            self.weights is None or type(self.weights) is Weights,
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

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> "ModelSpec":
        """Build it from what :meth:`to_dict` returned, also after JSON made lists of tuples.

        Raises:
            TypeError: if something is missing, or there is more.
            ValueError: if a value breaks a rule.
        """
        values = dict(facts)
        values["recipes"] = {name: _recipe(each) for name, each in values["recipes"].items()}
        if values["weights"] is not None:
            values["weights"] = Weights(**values["weights"])
        for name in ("members", "tags", "aliases"):
            values[name] = tuple(values[name])
        return cls(**values)


def _recipe(facts: Mapping[str, Any]) -> Recipe:
    distillation = facts["distillation"]
    groups = {
        "augmentation": Augmentation(**facts["augmentation"]),
        "distillation": None if distillation is None else Distillation(**distillation),
    }
    return Recipe(**{**facts, **groups})


def _require_metrics(metrics: Mapping[str, float], where: str) -> None:
    for name, value in metrics.items():
        _require(_is_line(name), f"metric {name!r} {where} must be one line")
        # Exactly: numpy's and torch's numbers look alike, and JSON cannot hold them.
        _require(
            type(value) in (int, float) and 0 <= value <= 1,
            f"metric {name!r} {where} is {value!r}, it must be an int or a float from 0 to 1",
        )


def _copy_mappings(instance: object, *names: str) -> None:
    """Put dicts of its own in place of a frozen dataclass's mappings, which others may change."""
    for name in names:
        value = getattr(instance, name)
        if isinstance(value, Mapping):
            object.__setattr__(instance, name, dict(value))


def _is_line(text: object) -> bool:
    # Exactly: a class of the plugin's own may answer differently each time.
    return type(text) is str and text.isprintable()


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
