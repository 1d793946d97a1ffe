"""``mnistzoo predict``: the digits on pictures."""

import functools
import logging
import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import (
    FILE,
    FOLDER,
    check_distinct,
    check_writable,
    dataset_option,
    json_option,
    wide_option,
)
from mnistzoo.errors import MnistzooError, describe, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from mnistzoo.data import Dataset
    from mnistzoo.pictures.files import Files
    from mnistzoo.prediction import Reading

_log = logging.getLogger(__name__)


@click.command("predict", cls=Command)
@click.argument("pictures", type=FILE, nargs=-1, required=True, metavar="PICTURE...")
@click.option(
    "--model",
    type=FILE,
    metavar="MODEL",
    shell_complete=completion.models_or_files,
    help="A model, or an .onnx file.  [default: the installed model with the best shipped weights]",
)
@click.option(
    "--weights",
    type=FILE,
    metavar="FILE",
    help="A .safetensors, .pt or .pth file instead of the shipped one.",
)
@dataset_option
@click.option(
    "--one", is_flag=True, help="Take the digit that stands out, where there are several."
)
@click.option(
    "--explain",
    "explain_dir",
    type=FOLDER,
    metavar="DIR",
    help="Write the steps of reading each picture into this folder, as PNG files; those of several "
    "pictures are numbered.",
)
@wide_option
@json_option
def command(
    pictures: tuple[str, ...],
    model: str | None,
    weights: str | None,
    dataset: str,
    one: bool,
    explain_dir: str | None,
    wide: bool,
    json_file: str | None,
) -> int:
    """Say which digits each PICTURE shows.

    A PICTURE is a file, a directory of them, or a pattern: PNG, JPEG, WebP, BMP, GIF, TIFF, or HEIC
    where pillow-heif is installed; of any size and colour. Several digits are read left to right,
    lines top to bottom. With an .onnx file it needs no PyTorch.
    """
    if weights and _is_file(model or ""):
        raise click.UsageError("--weights is for a model; an .onnx file has its own")
    if model is not None and model.lower().endswith((".safetensors", ".pt", ".pth")):
        raise click.UsageError(
            f"{one_line(model)} holds weights, and no model; name both: --model MODEL --weights "
            f"{shlex.quote(one_line(model))}"
        )
    from mnistzoo.data import load_dataset
    from mnistzoo.pictures.files import picture_files
    from mnistzoo.registry import best_model
    from mnistzoo.report.json import write_json
    from mnistzoo.report.text import show_predictions

    files = picture_files(pictures)
    check_distinct((json_file,), inputs=(model, weights, *files.paths))
    check_writable(json_file)
    if explain_dir is not None:
        os.makedirs(explain_dir, exist_ok=True)
    for path in files.passed_over:
        why = "a folder inside a folder" if os.path.isdir(path) else "not a picture file"
        click.echo(f"mnistzoo: {one_line(path)} is skipped: {why}", err=True)
    data = load_dataset(dataset)
    model = model or best_model(data.spec.name)
    read, runtime = _reader(model, weights, data)
    predictions, errors = _predict(files, read, one=one, explain_dir=explain_dir)
    if json_file:
        facts = {"model": model, "predictions": predictions, "errors": errors}
        write_json({**facts, "passed_over": files.passed_over}, json_file)
    if json_file != "-" and predictions:
        show_predictions(predictions, f"{model}, under {runtime}", wide=wide)
    for each in predictions:
        _say_doubts(each)
    return 1 if errors else 0


def _predict(
    files: "Files", read: "Callable[[str], Reading]", *, one: bool, explain_dir: str | None
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return what each picture shows, and the reasons of those that could not be read."""
    from mnistzoo.prediction import text_of

    predictions: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    for place, path in enumerate(files.paths, 1):
        try:
            if path in files.problems:
                raise MnistzooError(files.problems[path])
            reading = read(path)
            if explain_dir is not None:
                # Numbered where there are several: two in different folders may have one name.
                number = f"{place:0{len(str(len(files.paths)))}}-" if len(files.paths) > 1 else ""
                _explain(reading, os.path.join(explain_dir, number + os.path.basename(path)))
        except Exception as error:  # the other pictures are read all the same
            reason = _reason(error, path)
            click.echo(f"mnistzoo: {one_line(reason)}", err=True)
            errors.append({"file": path, "reason": reason})
            continue
        shown = [reading.one] if one else reading.predictions
        predictions.append(
            {
                "file": path,
                "text": text_of(shown),
                **reading.one.to_dict(),
                "digits": [each.to_dict() for each in shown],
            }
        )
    return predictions, errors


def _reason(error: Exception, path: str) -> str:
    if isinstance(error, MnistzooError):
        return str(error)
    if isinstance(error, OSError):
        return f"{path}: {error.strerror}"
    _log.debug("reading a picture failed", exc_info=True)
    return f"{path} cannot be read: unexpected {describe(error)} (--debug shows where)"


def _say_doubts(picture: dict[str, Any]) -> None:
    name, digits = one_line(picture["file"]), picture["digits"]
    if len(digits) > 1:
        click.echo(f"mnistzoo: {name} shows {len(digits)} digits: {picture['text']}", err=True)
    doubts = {place: each["doubt"] for place, each in enumerate(digits, 1) if each["doubt"]}
    if not doubts:
        return
    if len(digits) == 1:
        which = f"{name} is"
    elif len(doubts) == 1:
        which = f"{name}, digit {min(doubts)}, is"
    else:
        which = f"{name}: {len(doubts)} of {len(digits)} digits are"
    reasons = "; ".join(dict.fromkeys(doubts.values()))
    click.echo(f"mnistzoo: {which} in doubt: {reasons}", err=True)


def _explain(reading: "Reading", start: str) -> None:
    """Write the steps of reading a picture into files whose paths start so."""
    from mnistzoo.pictures.explain import explain

    images = [each.image for each in reading.predictions]
    for step, image in explain(reading.picture, reading.found, images).items():
        image.save(f"{start}-{step}.png")


def _is_file(model: str) -> bool:
    return model.lower().endswith(".onnx")


def _reader(
    model: str, weights: str | None, data: "Dataset"
) -> "tuple[Callable[[str], Reading], str]":
    """Return the function that reads a picture, and what computes it."""
    from mnistzoo.prediction import read

    if _is_file(model):
        from mnistzoo.runtime import Predictor

        return functools.partial(read, reader=Predictor(model).reader), "ONNX Runtime"

    from mnistzoo.calibration import UNCALIBRATED
    from mnistzoo.classifier import as_classifier, runtime_of
    from mnistzoo.models import calibration_of, load_model
    from mnistzoo.prediction import Reader

    loaded = load_model(model, weights, data)
    calibration = calibration_of(model, weights, loaded, data) or UNCALIBRATED
    reader = Reader(as_classifier(loaded).logits, data.classes, calibration)
    return functools.partial(read, reader=reader), runtime_of(loaded)
