"""A saved comparison, read back from its JSON: what :meth:`Comparison.to_dict` returned."""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import fastjsonschema

from mnistzoo.errors import MnistzooError, one_line
from mnistzoo.files import expanded

_MOST_BYTES = 32_000_000


class ComparisonFileError(MnistzooError):
    """A file does not hold what ``mnistzoo compare --json`` writes."""


def read_comparison(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file that ``mnistzoo compare --json`` wrote, or ``Comparison.save``; printable.

    Raises:
        ComparisonFileError: if it holds something else.
        OSError: if it cannot be read.
    """
    with expanded(path).open("rb") as stream:
        content = stream.read(_MOST_BYTES + 1)
    try:
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        facts = json.loads(content, parse_constant=_refused)
        fastjsonschema.validate(_schema(), facts)
        _check(facts)
        return dict(printable(facts))  # which refuses, too, a recipe nested without end
    except (ValueError, RecursionError, fastjsonschema.JsonSchemaValueException) as error:
        why = str(error) if not isinstance(error, RecursionError) else "it is nested too deeply"
        raise ComparisonFileError(
            f"{path} is not the JSON of a comparison: {one_line(why)[:300]}; `mnistzoo compare "
            f"--json {path}` writes one"
        ) from error


def class_names(facts: Mapping[str, Any]) -> list[str]:
    """Return what the classes are called, in the order of their labels."""
    if named := facts["dataset"].get("classes"):
        return list(named)
    sizes = [len(each["evaluation"]["confusion"]) for each in facts["models"] if each["evaluation"]]
    return [str(label) for label in range(max(sizes, default=0))]


def printable(facts: Any) -> Any:
    """Return facts without a control character in any text."""
    if isinstance(facts, str):
        return one_line(facts)
    if isinstance(facts, Mapping):
        return {key: printable(value) for key, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [printable(each) for each in facts]
    return facts


def _schema() -> Any:
    return json.loads((files("mnistzoo.report") / "comparison.schema.json").read_text("utf-8"))


def _check(facts: Mapping[str, Any]) -> None:
    """Refuse what no schema can say: facts that do not fit each other."""
    classes = len(class_names(facts))
    evaluated = []
    for model in facts["models"]:
        name, evaluation = model["name"], model["evaluation"]
        had = [model[key] is None for key in ("accuracy", "accuracy_interval", "evaluation")]
        if len(set(had)) > 1:
            raise ValueError(f"of {name} there is only part of the accuracy")
        if evaluation is None:
            continue
        evaluated.append(name)
        confusion = evaluation["confusion"]
        if len(confusion) != classes or any(len(row) != classes for row in confusion):
            raise ValueError(f"the confusion of {name} is not {classes} x {classes}")
        if any(each["right"] > each["count"] for each in evaluation["calibration_bins"]):
            raise ValueError(f"more predictions of {name} are right than there are")
    if len(set(evaluated)) < len(evaluated):
        raise ValueError("two models have the same name")
    for pair in facts["pairs"]:
        if {pair["first"], pair["second"]} - set(evaluated):
            raise ValueError(f"{pair['first']} and {pair['second']} are not both among its models")
    if (gallery := facts["gallery"]) is not None:
        _check_gallery(gallery, evaluated, classes)


def _check_gallery(gallery: Mapping[str, Any], evaluated: list[str], classes: int) -> None:
    if gallery["confident_errors"].keys() - set(evaluated):
        raise ValueError("the gallery has errors of other models")
    groups = [gallery["missed_by_all"], *gallery["confident_errors"].values()]
    if (best := gallery["only_best"]) is not None:
        groups.append(best)
    for index in (index for group in groups for index in group["shown"]):
        if str(index) not in gallery["images"]:
            raise ValueError(f"the gallery has no image {index}")
    for index, image in gallery["images"].items():
        answers = image["answers"]
        if answers.keys() != set(evaluated):
            raise ValueError(f"image {index} of the gallery has no answer of each model")
        if max(image["label"], *(digit for digit, _ in answers.values())) >= classes:
            raise ValueError(f"image {index} of the gallery has a label that is not a class")
        try:
            pixels = base64.b64decode(image["pixels"], validate=True)
        except binascii.Error as error:
            raise ValueError(f"image {index} of the gallery is not in base64") from error
        if len(pixels) != 28 * 28:
            raise ValueError(f"image {index} of the gallery has not 28 x 28 pixels")


def _refused(constant: str) -> None:
    raise ValueError(f"it holds {constant}")
