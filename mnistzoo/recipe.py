"""What a recipe says about training: ``Recipe``, ``Augmentation``, ``Distillation``.

Standard library only: importing a plugin must not import torch.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Literal

from mnistzoo.fields import MODEL_NAME, arguments, check, flat_name, path, require, within

Schedule = Literal["constant", "cosine", "one-cycle", "step"]
Precision = Literal["float32", "bfloat16"]

# The optimizers that a recipe knows by name, and what they take besides rate and weight decay.
OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {
    "adam": {"betas": (0.9, 0.999), "eps": 1e-8},
    "adamw": {"betas": (0.9, 0.999), "eps": 1e-8},
    "sgd": {"momentum": 0.9, "nesterov": True},
}


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
        function: ``"package.module:callable"`` of one's own, called after all of these with a batch
            of images, float32 ``(N, 1, 28, 28)``, their labels as shares of the classes, float32
            ``(N, C)``, torch's generator to draw from, and ``arguments``. It returns images and
            labels of the same shapes; so it may mix them.
        arguments: keywords for ``function``; anything that JSON can hold.
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
    function: str | None = field(default=None, metadata=path() | {"flat": "augment"})
    arguments: Mapping[str, Any] = field(
        default_factory=dict, hash=False, metadata={"flat": "augment_arguments"}
    )
    plain_epochs: int = field(default=0, metadata=within(0, 2**31 - 1))

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "arguments", arguments(self.arguments))
        if self.arguments and self.function is None:
            raise ValueError("augment_arguments need augment, the function that takes them")


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
        require(
            MODEL_NAME.fullmatch(self.teacher) is not None,
            f"teacher is {self.teacher!r}, it must be the name of a model",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How a model is trained: data for the trainer, never code.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step; the last batch of an epoch may be smaller.
        optimizer: ``"sgd"`` is with Nesterov momentum 0.9. A path ``"package.module:callable"`` is
            any ``torch.optim.Optimizer`` whose ``step()`` needs no closure, or a function that
            returns one; it is called with the parameters, ``lr``, ``weight_decay`` if it takes
            that, and ``optimizer_arguments``.
        optimizer_arguments: further keywords, such as ``{"betas": (0.9, 0.95)}``: of adam and adamw
            ``betas`` and ``eps``, of sgd ``momentum`` and ``nesterov``.
        learning_rate: the highest learning rate of the schedule. Groups of parameters to which an
            optimizer gives rates of their own keep them in proportion.
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
    optimizer: str = field(metadata=path(*OPTIMIZERS))
    learning_rate: float = field(metadata=within(0, closed="neither"))
    optimizer_arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
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
        object.__setattr__(self, "optimizer_arguments", arguments(self.optimizer_arguments))
        if self.optimizer in OPTIMIZERS:
            _require_optimizer_arguments(self.optimizer, self.optimizer_arguments)
        plain = self.augmentation.plain_epochs
        require(
            plain <= self.epochs,
            f"plain_epochs is {plain}, it must be at most {self.epochs}, the number of epochs",
        )

    def flat(self) -> dict[str, Any]:
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


def recipe_from_dict(facts: Mapping[str, Any]) -> Recipe:
    """Build a recipe from what ``asdict`` made of it, also after JSON made lists of tuples."""
    facts = {name: _with_tuples(value) for name, value in facts.items()}
    distillation = facts["distillation"]
    groups = {
        "augmentation": Augmentation(**facts["augmentation"]),
        "distillation": None if distillation is None else Distillation(**distillation),
    }
    return Recipe(**{**facts, **groups})


def _with_tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_with_tuples, value))
    if isinstance(value, dict):
        return {name: _with_tuples(each) for name, each in value.items()}
    return value


def _require_optimizer_arguments(optimizer: str, given: Mapping[str, Any]) -> None:
    known = OPTIMIZERS[optimizer]
    for name in given:
        require(
            name in known,
            f"{optimizer} takes no argument {name!r} but {' and '.join(known)}; with "
            "optimizer='torch.optim:...' all that torch has can be given",
        )
    given = {**known, **given}
    betas, eps = given.get("betas", (0, 0)), given.get("eps", 0)
    momentum, nesterov = given.get("momentum", 0), given.get("nesterov", True)
    require(
        isinstance(betas, tuple) and len(betas) == 2 and all(map(_below_one, betas)),
        f"betas is {betas!r}, it must be two numbers from 0 to below 1",
    )
    require(
        isinstance(eps, int | float) and eps >= 0, f"eps is {eps!r}, it must be a number from 0"
    )
    require(
        _below_one(momentum), f"momentum is {momentum!r}, it must be a number from 0 to below 1"
    )
    require(isinstance(nesterov, bool), f"nesterov is {nesterov!r}, it must be True or False")


def _below_one(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < 1


# Stands where a function of the plugin's own trains a model and asks for no recipe.
NO_RECIPE = Recipe(epochs=1, batch_size=1, optimizer="sgd", learning_rate=1)
_SEEN_TO = {"seed", "threads"}  # by mnistzoo, whatever the function reads


def unread(recipe: Recipe, names: Iterable[str]) -> list[str]:
    """Return those fields that change nothing: of a recipe that stands for none nearly all."""
    return sorted(set(names) - _SEEN_TO) if recipe == NO_RECIPE else []
