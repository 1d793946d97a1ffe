"""What shipped weights declare is measured again, of those very weights.

Their test accuracy is measured by the plugins' own tests, by the check ``metrics``.
"""

import dataclasses
import runpy
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from first_party import first_party
from models_table import runs_of
from safetensors.torch import load_file

from mnistzoo import Evaluation, ModelSpec, create_model, get_spec, load_dataset, load_model
from mnistzoo.calibration import Calibration
from mnistzoo.classifier import as_classifier
from mnistzoo.evaluation import logits_in_parts
from mnistzoo.models import weights_path
from mnistzoo.provenance import Provenance
from mnistzoo.recipe import Recipe
from mnistzoo.weights import read_metadata

ROOT = Path(__file__).parents[1]
BESIDE = ROOT.parent / "shared" / "mnist"
SHIPPED = [name for name in first_party() if get_spec(name).weights and get_spec(name).recipes]
# Fitted, or made of others: no recipe and no runs.
MADE = [name for name in first_party() if get_spec(name).weights and not get_spec(name).recipes]
# Trained on the validation split too, once nothing was left to choose.
FINAL = {name for name in SHIPPED if read_metadata(weights_path(get_spec(name)))["final"]}
VALIDATED = [
    name for name in [*SHIPPED, *MADE] if "validation_accuracy" in get_spec(name).declared_metrics
]
CARDS = sorted((ROOT / "plugins").glob("*/mnistzoo_*/*.md"))
KNOWN = {"test_accuracy", "validation_accuracy", "test_accuracy_mean", "test_accuracy_sd"}
# Other versions of torch and other processors round differently, and may flip a few images.
TOLERANCE = 0.0005


def declared(name: str) -> dict[str, float]:
    weights = get_spec(name).weights
    assert weights is not None
    return dict(weights.metrics)


@pytest.mark.parametrize("name", VALIDATED)
def test_what_is_declared_by_the_validation_images_is_that_of_the_weights(name: str) -> None:
    assert declared(name).keys() <= KNOWN
    weights = get_spec(name).weights
    assert weights is not None and weights.temperature and weights.threshold
    if not any(BESIDE.glob("train-images*")):
        pytest.skip("the full MNIST is not in ../shared/mnist")
    validation = load_dataset("mnist", BESIDE).validation
    model = as_classifier(load_model(name))
    logits = logits_in_parts(model, validation.images)
    found = Evaluation.from_logits(logits, validation.labels).accuracy
    assert abs(found - declared(name)["validation_accuracy"]) <= 2 * TOLERANCE
    fitted = Calibration.fit(logits, validation.labels)
    assert fitted.temperature == pytest.approx(weights.temperature, rel=0.02)
    assert fitted.threshold == pytest.approx(weights.threshold, abs=0.01)


@pytest.mark.parametrize("name", sorted({*SHIPPED, *MADE} - {*VALIDATED}))
def test_of_weights_that_have_seen_all_images_no_temperature_is_declared(name: str) -> None:
    weights = get_spec(name).weights
    assert weights is not None and weights.temperature is weights.threshold is None


@pytest.mark.parametrize("name", SHIPPED)
def test_the_weights_are_of_the_run_by_rule_and_declare_mean_and_sd_of_all(name: str) -> None:
    runs = runs_of(name)
    metrics = declared(name)
    accuracies = [float(run["test_accuracy"]) for run in runs]
    assert metrics["test_accuracy_mean"] == pytest.approx(np.mean(accuracies), abs=1e-6)
    if len(runs) > 1:
        assert metrics["test_accuracy_sd"] == pytest.approx(statistics.stdev(accuracies), abs=1e-6)
    metadata = read_metadata(weights_path(get_spec(name)))
    if name in FINAL:
        assert "validation_accuracy" not in metrics
        assert metadata["seed"] == min(int(run["seed"]) for run in runs)
    else:
        validation = [float(run["validation_accuracy"]) for run in runs]
        assert metrics["validation_accuracy"] == pytest.approx(statistics.median_low(validation))
    assert metadata["seeds"] == [int(run["seed"]) for run in runs]
    (shipped,) = [run for run in runs if int(run["seed"]) == metadata["seed"]]
    assert float(shipped["test_accuracy"]) == metrics["test_accuracy"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_weights_were_trained_by_the_default_recipe_as_it_is_now(name: str) -> None:
    metadata = read_metadata(weights_path(get_spec(name)))
    recipe = get_spec(name).recipes["default"].replace(seed=metadata["seed"])
    # A field that came later than the weights had its default in effect. Threads change no more
    # than the last bits: `sprint` was trained on two, and names one since.
    bare = Recipe(epochs=1, batch_size=1, optimizer="sgd", learning_rate=1)
    defaults = bare.flat()
    later = {field: defaults[field] for field in defaults.keys() - metadata["recipe"].keys()}
    assert recipe.replace(**later | metadata["recipe"] | {"threads": recipe.threads}) == recipe
    assert metadata["epochs_completed"] == recipe.epochs


@pytest.mark.parametrize("name", SHIPPED)
def test_an_architecture_takes_another_number_of_classes(name: str) -> None:
    model = create_model(name, num_classes=26).eval()
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 26)


def test_all_shipped_weights_together_stay_below_20_megabytes() -> None:
    files = list((ROOT / "plugins").glob("*/mnistzoo_*/*.safetensors"))
    assert len(files) >= len([*SHIPPED, *MADE])
    assert sum(path.stat().st_size for path in files) < 20e6


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_the_python_of_a_model_card_loads_the_weights_beside_it(card: Path) -> None:
    made: dict[str, Any] = {}
    exec(card.read_text("utf-8").split("```python\n")[1].split("```")[0], made)
    file = load_file(card.with_suffix(".safetensors"))
    loaded = made["model"].state_dict()
    assert file.keys() == loaded.keys()
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in file.items())


@pytest.mark.parametrize("name", SHIPPED)
def test_the_metadata_of_trained_weights_are_a_provenance(name: str) -> None:
    told = Provenance.from_dict(read_metadata(weights_path(get_spec(name))))
    assert (told.model, told.recipe_name, told.dataset) == (name, "default", "mnist")
    assert told.metrics["test_accuracy"] == declared(name)["test_accuracy"]


def test_a_script_declares_temperature_and_threshold_in_the_source_of_a_plugin() -> None:
    source = (ROOT / "plugins/mnistzoo-tiny/mnistzoo_tiny/__init__.py").read_text("utf-8")
    declaring = runpy.run_path(str(ROOT / "scripts" / "calibrate.py"))["declaring"]

    def specs(text: str) -> list[ModelSpec]:
        made: dict[str, Any] = {}
        exec(text, made)
        return [made[name] for name in ("TINY968", "TINY1K", "TINY7K")]

    first, second, third = specs(source)
    assert second.weights is not None
    changed = declaring(source, second.weights.sha256, Calibration(2.5, 0.125))
    weights = dataclasses.replace(second.weights, temperature=2.5, threshold=0.125)
    assert specs(changed) == [first, dataclasses.replace(second, weights=weights), third]
    before = Calibration.shipped_with(second.weights)
    assert declaring(changed, second.weights.sha256, before) == source
    bare = "".join(
        line for line in source.splitlines(True) if "threshold=" not in line and "temp" not in line
    )
    assert bare.count("\n") == source.count("\n") - 2 * source.count("temperature=")
    assert declaring(bare, second.weights.sha256, before).count("temperature=") == 1
