"""What a plugin says about a model: ``ModelSpec``, ``Recipe``, ``Weights``.

Standard library only: importing a plugin must not import torch.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, Literal

from mnistzoo.fields import (
    DATASET_NAME,
    MODULE,
    PATH,
    arguments,
    check,
    flat_name,
    path,
    within,
)
from mnistzoo.fields import is_line as _is_line
from mnistzoo.fields import require as _require

Schedule = Literal["constant", "cosine", "one-cycle", "step"]
Precision = Literal["float32", "bfloat16"]

DEFAULT_DATASET = "mnist"

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")

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
        optimizer: ``"sgd"`` is with Nesterov momentum 0.9. A path ``"package.module:callable"`` is
            any ``torch.optim.Optimizer``, or a function that returns one; it is called with the
            parameters, ``lr``, ``weight_decay`` if it takes that, and ``optimizer_arguments``.
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
        _require(
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A safetensors or ONNX file inside the plugin, and what was measured of it.

    Attributes:
        file: its path relative to the folder of the factory's module, and inside it.
        sha256: of the file, 64 lower-case hexadecimal digits.
        metrics: name to value, 0 to 1; ``"test_accuracy"`` on all images of the data set's test set
            must be there for the check ``metrics``.
        measured: how the metrics came about, in one line: recipe, images, seed, versions.
        dataset: the name of the data set that they were trained on.

    Raises:
        ValueError: if the path leaves the plugin or the checksum is no SHA-256.
    """

    file: str
    sha256: str
    metrics: Mapping[str, float]
    measured: str
    dataset: str = DEFAULT_DATASET

    def __post_init__(self) -> None:
        _copy_mappings(self, "metrics")
        _require(type(self.file) is str, f"weights file {self.file!r} must be a string")
        path = PurePosixPath(self.file)
        inside = not path.is_absolute() and ".." not in path.parts and "\\" not in self.file
        _require(
            inside and path.suffix in (".safetensors", ".onnx") and _is_line(self.file),
            f"weights file {self.file!r} must be a .safetensors or .onnx path inside the plugin",
        )
        _require(_is_line(self.measured), f"weights measured {self.measured!r} must be one line")
        _require(
            type(self.dataset) is str and DATASET_NAME.fullmatch(self.dataset) is not None,
            f"weights dataset {self.dataset!r} must be the name of a data set",
        )
        _require(
            type(self.sha256) is str and _SHA256.fullmatch(self.sha256) is not None,
            f"weights sha256 {self.sha256!r} must be 64 lower-case hexadecimal digits",
        )
        _require_metrics(self.metrics, "of the weights")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """One model, as its plugin registers it.

    The model itself takes float32 images ``(N, 1, 28, 28)`` with pixels divided by 255, so 0 to 1,
    and returns logits ``(N, C)``, one a class. Any further normalisation happens inside it.

    Attributes:
        name: how users ask for it, ``[a-z][a-z0-9_]*``.
        summary: one line.
        factory: ``"package.module:callable"``; imported on first use, returns the
            ``torch.nn.Module``, an estimator as scikit-learn's, or an object with ``logits()`` (see
            :class:`mnistzoo.Classifier`). It is called with the modules of the ``members``, if
            there are any, with ``arguments``, and with the keywords of ``create_model``; each has a
            default, ``num_classes`` 10. Of a model that is an ONNX file: its module alone.
        num_params: the exact number of its parameters; a model that is created without keywords is
            checked against it. None for one that has none before it is trained.
        arguments: keywords for the factory, such as ``{"width": 64}``; ``create_model(name,
            width=32)``, and nothing else, gives others.
        stochastic: it draws random numbers in evaluation too, as MC dropout does: it is evaluated
            five times, with the seeds 0 to 4, and reported as mean and standard deviation.
        fit: ``"package.module:callable"``, called in place of the zoo's loop as ``fit(model,
            recipe, data, report)``; see :mod:`mnistzoo.training.own`. Recipes may be left out then.
        recipes: by name; ``"default"`` must be there, and ``"reference"``
            where a published recipe exists. A model that mnistzoo does not train has none: one with
            ``members``, or one that ships weights which came about in another way.
        weights: trained weights that the plugin ships, if any.
        further_weights: trained on other data sets.
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
        empty_batch: whether it turns no images into logits ``(0, 10)``, as the check ``output``
            then asks; nothing in mnistzoo needs it.

    Raises:
        ValueError: if a value breaks a rule above.
    """

    name: str
    summary: str
    factory: str
    num_params: int | None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    stochastic: bool = False
    fit: str = ""
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    weights: Weights | None = None
    further_weights: tuple[Weights, ...] = ()
    members: tuple[str, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    measured: str = ""
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    license: str = ""
    source: str = ""
    expected_failures: Mapping[str, str] = field(default_factory=dict)
    empty_batch: bool = False

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
        is_onnx = isinstance(self.weights, Weights) and self.weights.file.endswith(".onnx")
        _require(
            type(self.factory) is str
            and (MODULE if is_onnx else PATH).fullmatch(self.factory) is not None,
            f"factory {self.factory!r} {where} must be a string "
            + (
                "'package.module', beside which its ONNX file lies"
                if is_onnx
                else "'package.module:callable'"
            ),
        )
        _require(
            self.num_params is None or (type(self.num_params) is int and self.num_params >= 0),
            f"num_params {where} is {self.num_params!r}, it must be a whole number from 0",
        )
        _require(
            isinstance(self.arguments, Mapping)
            and all(isinstance(name, str) and name.isidentifier() for name in self.arguments),
            f"arguments {where} must map names of keywords to values",
        )
        _require(
            isinstance(self.fit, str) and (not self.fit or PATH.fullmatch(self.fit) is not None),
            f"fit {self.fit!r} {where} must be a string 'package.module:callable'",
        )
        if self.fit and not self.recipes:
            object.__setattr__(self, "recipes", {"default": NO_RECIPE})
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
            isinstance(self.further_weights, tuple)
            and all(isinstance(each, Weights) for each in self.further_weights),
            f"further_weights {where} must be a tuple of Weights objects",
        )
        datasets = [each.dataset for each in self.all_weights]
        _require(
            len(set(datasets)) == len(datasets)
            and (self.weights is not None or not self.further_weights),
            f"weights and further_weights {where} must be of different data sets, weights first",
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
        _require(isinstance(self.empty_batch, bool), f"empty_batch {where} must be True or False")

    @property
    def names(self) -> tuple[str, ...]:
        """The name, then the aliases."""
        return (self.name, *self.aliases)

    @property
    def all_weights(self) -> tuple[Weights, ...]:
        """The weights, then the further ones."""
        return () if self.weights is None else (self.weights, *self.further_weights)

    def weights_for(self, dataset: str) -> Weights | None:
        """Return the weights that were trained on a data set, if the plugin ships some."""
        return next((each for each in self.all_weights if each.dataset == dataset), None)

    def metrics_on(self, dataset: str) -> Mapping[str, float]:
        """Return the declared metrics of those weights; those of a model with members are MNIST's.

        Empty where none are declared.
        """
        if self.members:
            return self.metrics if dataset == DEFAULT_DATASET else {}
        weights = self.weights_for(dataset)
        return {} if weights is None else weights.metrics

    @property
    def is_onnx(self) -> bool:
        """Whether the model is an ONNX file, which no factory creates."""
        return self.weights is not None and self.weights.file.endswith(".onnx")

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
        values["further_weights"] = tuple(Weights(**each) for each in values["further_weights"])
        for name in ("members", "tags", "aliases"):
            values[name] = tuple(values[name])
        return cls(**values)


def _recipe(facts: Mapping[str, Any]) -> Recipe:
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
        _require(
            name in known,
            f"{optimizer} takes no argument {name!r} but {' and '.join(known)}; with "
            "optimizer='torch.optim:...' all that torch has can be given",
        )
    given = {**known, **given}
    betas, eps = given.get("betas", (0, 0)), given.get("eps", 0)
    momentum, nesterov = given.get("momentum", 0), given.get("nesterov", True)
    _require(
        isinstance(betas, tuple) and len(betas) == 2 and all(map(_below_one, betas)),
        f"betas is {betas!r}, it must be two numbers from 0 to below 1",
    )
    _require(
        isinstance(eps, int | float) and eps >= 0, f"eps is {eps!r}, it must be a number from 0"
    )
    _require(
        _below_one(momentum), f"momentum is {momentum!r}, it must be a number from 0 to below 1"
    )
    _require(isinstance(nesterov, bool), f"nesterov is {nesterov!r}, it must be True or False")


def _below_one(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value < 1


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


# Stands where a function of the plugin's own trains a model and asks for no recipe.
NO_RECIPE = Recipe(epochs=1, batch_size=1, optimizer="sgd", learning_rate=1)
