"""``mnistzoo predict``: the digits on pictures."""

import glob
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import FILE, FOLDER, check_distinct, check_writable, json_option
from mnistzoo.errors import MnistzooError, one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mnistzoo.prediction import Classify, Prediction, Reading


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
@click.option(
    "--one", is_flag=True, help="Take the digit that stands out, where there are several."
)
@click.option(
    "--explain",
    "explain_dir",
    type=FOLDER,
    metavar="DIR",
    help="Write the steps of reading each picture into this folder, as PNG files.",
)
@json_option
def command(
    pictures: tuple[str, ...],
    model: str | None,
    weights: str | None,
    one: bool,
    explain_dir: str | None,
    json_file: str | None,
) -> int:
    """Say which digits each PICTURE shows: a file, a directory of them, or a pattern.

    PNG, JPEG, WebP, BMP, GIF, TIFF, or HEIC where pillow-heif is installed; of any size and colour.
    Several digits are read left to right, lines top to bottom. With an .onnx file it needs no
    PyTorch.
    """
    if weights and _is_file(model or ""):
        raise click.UsageError("--weights is for a model; an .onnx file has its own")
    from mnistzoo.report.json import write_json
    from mnistzoo.report.text import show_predictions

    expanded, passed_over = _expanded(pictures)
    paths = [path for path, _ in expanded]
    check_distinct((json_file,), inputs=(model, weights, *paths))
    check_writable(json_file)
    if explain_dir is not None:
        os.makedirs(explain_dir, exist_ok=True)
    for path in passed_over:
        click.echo(f"mnistzoo: {one_line(path)} is skipped: not a picture file", err=True)
    model = model or _best_model()
    predictions, errors = _predict(
        expanded, _classifier(model, weights), one=one, explain_dir=explain_dir
    )
    if json_file:
        facts = {"model": model, "predictions": predictions, "errors": errors}
        write_json({**facts, "passed_over": passed_over}, json_file)
    if json_file != "-" and predictions:
        runtime = "ONNX Runtime" if _is_file(model) else "PyTorch"
        show_predictions(predictions, f"{model}, under {runtime}")
    for each in predictions:
        _say_doubts(each)
    return 1 if errors else 0


def _predict(
    expanded: Sequence[tuple[str, str | None]],
    classify: "Classify",
    *,
    one: bool,
    explain_dir: str | None,
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return what each picture shows, and the reasons of those that could not be read."""
    from mnistzoo.prediction import read

    predictions: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    for path, problem in expanded:
        try:
            if problem:
                raise MnistzooError(problem)
            reading = read(path, classify)
            if explain_dir is not None:
                _explain(reading, path, explain_dir)
        except (MnistzooError, OSError) as error:
            reason = f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            click.echo(f"mnistzoo: {one_line(reason)}", err=True)
            errors.append({"file": path, "reason": reason})
            continue
        shown = [reading.one] if one else reading.predictions
        predictions.append(
            {
                "file": path,
                "text": "".join(str(each.digit) for each in shown),
                **_facts(reading.one),
                "digits": [_facts(each) for each in shown],
            }
        )
    return predictions, errors


def _say_doubts(picture: dict[str, Any]) -> None:
    name, digits = one_line(picture["file"]), picture["digits"]
    if len(digits) > 1:
        click.echo(f"mnistzoo: {name} shows {len(digits)} digits: {picture['text']}", err=True)
    for place, digit in enumerate(digits, 1):
        if digit["doubt"]:
            which = f", digit {place}," if len(digits) > 1 else ""
            click.echo(f"mnistzoo: {name}{which} is in doubt: {digit['doubt']}", err=True)


def _facts(prediction: "Prediction") -> dict[str, Any]:
    return {
        "digit": prediction.digit,
        "confidence": prediction.confidence,
        "runner_up": prediction.runner_up,
        "runner_up_confidence": prediction.probabilities[prediction.runner_up],
        "probabilities": list(prediction.probabilities),
        "doubt": prediction.doubt,
        "box": list(prediction.box),
    }


def _explain(reading: "Reading", path: str, folder: str) -> None:
    from mnistzoo.pictures.explain import explain

    images = [each.image for each in reading.predictions]
    name = os.path.basename(path)
    for step, image in explain(reading.picture, reading.found, images).items():
        image.save(os.path.join(folder, f"{name}-{step}.png"))


def _is_file(model: str) -> bool:
    return model.lower().endswith(".onnx")


def _best_model() -> str:
    """Return the installed model whose plugin declares the highest accuracy on the test set."""
    from mnistzoo.registry import ModelError, get_spec, list_models

    accuracies = {
        name: metrics.get("test_accuracy", 0.0)
        for name in list_models()
        if (metrics := get_spec(name).declared_metrics)
    }
    if not accuracies:
        raise ModelError(
            "no installed model ships weights; install a plugin, such as mnistzoo-mnistnet, or "
            "give an .onnx file with --model"
        )
    return max(accuracies, key=accuracies.__getitem__)


def _classifier(model: str, weights: str | None) -> "Classify":
    """Return the function from images to probabilities."""
    if _is_file(model):
        from mnistzoo.runtime import Predictor

        return Predictor(model).probabilities

    import torch

    from mnistzoo.inference import predict_logits
    from mnistzoo.models import load_model

    loaded = load_model(model, weights)

    def classify(images: "NDArray[np.uint8]") -> "NDArray[np.float32]":
        logits = predict_logits(loaded, torch.from_numpy(images).unsqueeze(1))
        return logits.softmax(1).numpy()

    return classify


def _expanded(arguments: Sequence[str]) -> tuple[list[tuple[str, str | None]], list[str]]:
    """Return each file that is meant, or why an argument means none; and what is not read."""
    from mnistzoo.pictures.decode import SUFFIXES

    meant: list[tuple[str, str | None]] = []
    passed_over: list[str] = []
    for argument in arguments:
        if os.path.isdir(argument):
            inside = sorted(glob.glob(os.path.join(glob.escape(argument), "*")))
            found = [path for path in inside if path.lower().endswith(SUFFIXES)]
            passed_over += [path for path in inside if path not in found]
            problem = f"{argument} holds no picture that can be seen, such as a .png or .jpg file"
        elif not os.path.exists(argument) and glob.has_magic(argument):
            found = sorted(glob.glob(argument, recursive=True))
            problem = f"{argument} matches no file"
        else:
            found, problem = [argument], ""
        meant += [(each, None) for each in found] or [(argument, problem)]
    return meant, passed_over
