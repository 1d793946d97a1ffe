"""``mnistzoo predict``: the digits on pictures."""

import glob
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from mnistzoo.cli import completion
from mnistzoo.cli.command import Command
from mnistzoo.cli.options import FILE, check_distinct, check_writable, json_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Classify = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

_SUFFIXES = (".png", ".jpg", ".jpeg")


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
@json_option
def command(
    pictures: tuple[str, ...], model: str | None, weights: str | None, json_file: str | None
) -> int:
    """Say which digit each PICTURE shows: a PNG or JPEG file, a directory of them, or a pattern.

    Of any size and colour, one digit a picture. With an .onnx file it needs no PyTorch.
    """
    if weights and _is_file(model or ""):
        raise click.UsageError("--weights is for a model; an .onnx file has its own")
    from mnistzoo.report.json import write_json
    from mnistzoo.report.text import show_predictions

    expanded = list(_expanded(pictures))
    check_distinct((json_file,), inputs=(model, weights, *(path for path, _ in expanded)))
    check_writable(json_file)
    model = model or _best_model()
    predictions, errors = _predict(expanded, _classifier(model, weights))
    if json_file:
        write_json({"model": model, "predictions": predictions, "errors": errors}, json_file)
    if json_file != "-" and predictions:
        runtime = "ONNX Runtime" if _is_file(model) else "PyTorch"
        show_predictions(predictions, f"{model}, under {runtime}")
    for each in predictions:
        if each["doubt"]:
            click.echo(f"mnistzoo: {each['file']} looks like no digit: {each['doubt']}", err=True)
    return 1 if errors else 0


def _predict(
    expanded: list[tuple[str, str | None]], classify: "Classify"
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Return what each picture shows, and the reasons of those that could not be read."""
    from mnistzoo.errors import MnistzooError
    from mnistzoo.pictures import doubt, read_picture

    predictions: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    for path, problem in expanded:
        try:
            if problem:
                raise MnistzooError(problem)
            image = read_picture(path)
        except (MnistzooError, OSError) as error:
            reason = f"{path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            click.echo(f"mnistzoo: {reason}", err=True)
            errors.append({"file": path, "reason": reason})
            continue
        probabilities = classify(image[None])[0]
        runner_up, digit = map(int, probabilities.argsort()[-2:])
        confidence = float(probabilities[digit])
        predictions.append(
            {
                "file": path,
                "digit": digit,
                "confidence": confidence,
                "runner_up": runner_up,
                "runner_up_confidence": float(probabilities[runner_up]),
                "probabilities": probabilities.tolist(),
                "doubt": doubt(image, confidence),
            }
        )
    return predictions, errors


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


def _expanded(arguments: tuple[str, ...]) -> Iterator[tuple[str, str | None]]:
    """Yield each file that is meant, or an argument and why it means none."""
    for argument in arguments:
        if os.path.isdir(argument):
            inside = glob.glob(os.path.join(glob.escape(argument), "*"))
            found = [path for path in inside if path.lower().endswith(_SUFFIXES)]
            problem = f"{argument} holds no .png or .jpg file that can be seen"
        elif not os.path.exists(argument) and glob.has_magic(argument):
            found = glob.glob(argument, recursive=True)
            problem = f"{argument} matches no file"
        else:
            found, problem = [argument], ""
        found.sort()
        yield from ((each, None) for each in found)
        if not found:
            yield argument, problem
