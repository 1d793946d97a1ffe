"""What a plugin says about a model: ``ModelSpec``, ``Weights``.

Standard library only: importing a plugin must not import torch.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from mnistzoo.fields import DATASET_NAME, MODEL_NAME, MODULE, PATH, within
from mnistzoo.fields import check as _check
from mnistzoo.fields import is_line as _is_line
from mnistzoo.fields import require as _require
from mnistzoo.recipe import NO_RECIPE, Recipe, recipe_from_dict

DEFAULT_DATASET = "mnist"

# Metadata of fields: what divides logits, and the confidence below which an answer is in doubt.
TEMPERATURE = within(0.01, 100)
THRESHOLD = within(0, 1)

_SHA256 = re.compile(r"[0-9a-f]{64}")


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
        temperature: divides the logits before the softmax, so that confidences are as high as the
            share that is right; fitted on validation images that the training has not seen
        threshold: of the confidence at this temperature. The least sure hundredth of those images
            lies below it; what does is in doubt. Given with the temperature, or left out with it

    Raises:
        ValueError: if the path leaves the plugin, the checksum is not a SHA-256, or a value breaks
            another rule above.
    """

    file: str
    sha256: str
    metrics: Mapping[str, float]
    measured: str
    dataset: str = DEFAULT_DATASET
    temperature: float | None = field(default=None, metadata=TEMPERATURE)
    threshold: float | None = field(default=None, metadata=THRESHOLD)

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
        _check(self)
        _require(
            (self.temperature is None) == (self.threshold is None),
            "weights temperature and threshold must be given together, or both be left out",
        )


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
        arguments: keywords for the factory, such as ``{"width": 64}``. ``create_model(name,
            width=32)`` alone takes others; to train, compare or ship another width, register a
            second spec.
        stochastic: it draws random numbers in evaluation too, as MC dropout does: it is evaluated
            five times, with the seeds 0 to 4, and reported as mean and standard deviation, which
            the metadata of its weights hold as ``test_accuracy_repeat_sd``.
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
        empty_batch: whether it turns no images into logits ``(0, 10)``, as the check
            ``empty_batch`` then asks; nothing in mnistzoo needs it.

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
                type(name) is str and MODEL_NAME.fullmatch(name) is not None,
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
                type(k) is str and MODEL_NAME.fullmatch(k) and type(v) is Recipe
                for k, v in self.recipes.items()
            ),
            f"recipes {where} must map names, [a-z][a-z0-9_]*, to Recipe objects",
        )
        _require(
            isinstance(self.members, tuple)
            and all(type(each) is str and MODEL_NAME.fullmatch(each) for each in self.members)
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
    def not_exportable(self) -> str:
        """Why the model cannot be exported to ONNX, as declared; empty if nothing is declared."""
        if declared := self.expected_failures.get("onnx"):
            return declared
        if self.stochastic:
            return "it draws random numbers, and no file could be shown to compute the same"
        return ""

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
        values["recipes"] = {
            name: recipe_from_dict(each) for name, each in values["recipes"].items()
        }
        if values["weights"] is not None:
            values["weights"] = Weights(**values["weights"])
        values["further_weights"] = tuple(Weights(**each) for each in values["further_weights"])
        for name in ("members", "tags", "aliases"):
            values[name] = tuple(values[name])
        return cls(**values)


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
