"""``mnistzoo ship`` and scripts/record_runs.py do what the runs say, and refuse the rest."""

import csv
import hashlib
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml

from mnistzoo import ModelSpec, Weights, evaluate, load_dataset, load_model
from mnistzoo.calibration import Calibration
from mnistzoo.cli import main
from mnistzoo.training import TrainingJob, run_training
from mnistzoo.weights import read_metadata, save_weights

SCRIPT = Path(__file__).parents[1] / "scripts" / "record_runs.py"
Cli = Callable[..., int]


@pytest.fixture
def cli(
    linear_spec: Callable[..., ModelSpec],
    register: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Cli:
    """Return ``cli(*arguments)``: runs a command in a folder of its own, and returns its status."""
    register(linear_spec("shipnet", weights=None, license="MIT", tags=("linear",)))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugin").mkdir()

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        assert isinstance(caught.value.code, int)
        return caught.value.code

    return run


@pytest.fixture
def record(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return ``record(*files)``: runs the script on a table of its own, and returns its rows."""
    script = runpy.run_path(str(SCRIPT))
    monkeypatch.setitem(script["main"].__globals__, "RUNS", tmp_path / "runs.csv")

    def run(*files: str) -> list[dict[str, str]]:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *files])
        script["main"]()
        with (tmp_path / "runs.csv").open(newline="") as stream:
            return list(csv.DictReader(stream))

    return run


def trained(path: str, **changes: Any) -> None:
    """Save a run of one epoch, and say something else of it."""
    final, seed = changes.pop("final", False), changes.pop("at", 0)
    job = TrainingJob(
        model="shipnet", dataset="mnist-10k", final=final, overrides={"seed": seed}, device="cpu"
    )
    result = run_training(job)
    evaluation = evaluate(result.model, load_dataset("mnist-10k").test, device="cpu")
    result.with_test(evaluation).save(path)
    if changes:
        metadata = read_metadata(path) | changes
        told = {name: value for name, value in metadata.items() if value is not None}
        save_weights(load_model("shipnet", path), path, told)


def test_a_run_is_shipped_with_checksum_metrics_provenance_and_a_card(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli("train", "shipnet", "--dataset", "mnist-10k", "-o", "a.safetensors") == 0
    printed = capsys.readouterr().out
    content = Path("a.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() in printed and "weights=Weights(" in printed
    assert cli("ship", "a.safetensors", "--folder", "plugin", "--json", "facts.json") == 0
    out = capsys.readouterr().out
    code = out[out.index("weights=") + len("weights=") :].strip().rstrip(",")
    weights: Weights = eval(code, {"Weights": Weights})
    file = tmp_path / "plugin" / "shipnet.safetensors"
    assert weights.file == file.name
    assert weights.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    told = read_metadata(file)
    assert weights.metrics["test_accuracy"] == told["metrics"]["test_accuracy"]
    shipped, validation = load_model("shipnet", file), load_dataset("mnist-10k").validation
    with torch.inference_mode():
        logits = shipped(validation.tensors()[0] / 255).numpy()
    fitted = Calibration.fit(logits, validation.labels)
    assert weights.temperature == pytest.approx(fitted.temperature, abs=1e-4)
    assert weights.threshold == pytest.approx(fitted.threshold, abs=1e-4)
    assert told["seeds"] == [0] and "9000 images of mnist-10k" in weights.measured
    facts = json.loads(Path("facts.json").read_text())
    assert facts["weights"]["sha256"] == weights.sha256 and facts["uncalibrated"] == ""
    assert facts["weights"]["temperature"] == weights.temperature
    _, front, text = (tmp_path / "plugin" / "shipnet.md").read_text().split("---\n")
    card = yaml.safe_load(front)
    (result,) = card["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": weights.metrics["test_accuracy"]}]
    assert card["license"] == "mit" and card["tags"] == ["mnistzoo", "linear"]
    assert weights.measured in text


def test_weights_are_not_replaced_if_their_card_cannot_be(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("a.safetensors")
    (tmp_path / "plugin" / "shipnet.md").mkdir()
    assert cli("ship", "a.safetensors", "--folder", "plugin") == 1
    assert "shipnet.md" in capsys.readouterr().err
    assert [path.name for path in Path("plugin").iterdir()] == ["shipnet.md"]


def test_other_libraries_learn_whose_tensors_a_file_holds(cli: Cli) -> None:
    trained("a.safetensors")
    with safetensors.safe_open("a.safetensors", framework="pt") as file:
        assert file.metadata()["format"] == "pt"


def test_a_run_is_never_replaced_by_what_is_made_of_it(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("shipnet.safetensors")
    before = Path("shipnet.safetensors").read_bytes()
    assert cli("ship", "shipnet.safetensors", "--folder", ".") == 1
    assert "would replace the run that it is made of" in capsys.readouterr().err
    assert Path("shipnet.safetensors").read_bytes() == before


def test_of_final_runs_the_first_seed_is_shipped_in_half_precision_if_that_changes_nothing(
    cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 0):
        trained(f"{seed}.safetensors", final=True, at=seed)
    assert cli("ship", "1.safetensors", "0.safetensors", "--folder", "plugin") == 0
    out = capsys.readouterr().out
    assert "first of 2" in out and "test_accuracy_sd" in out
    why = "no temperature and no threshold, since the training has seen the validation images"
    assert "temperature=" not in out and why in " ".join(out.split())
    path = tmp_path / "plugin" / "shipnet.safetensors"
    whole, shipped = load_model("shipnet", "0.safetensors"), load_model("shipnet", path)
    test = load_dataset("mnist-10k").test
    assert (evaluate(whole, test).predictions == evaluate(shipped, test).predictions).all()
    stored = {tensor.dtype for tensor in safetensors.torch.load_file(path).values()}
    rounded = {name: tensor.half() for name, tensor in whole.state_dict().items()}
    expected = evaluate(whole, test).predictions
    whole.load_state_dict({name: tensor.float() for name, tensor in rounded.items()})
    same = evaluate(whole, test).predictions == expected
    assert stored == ({torch.float16} if same.all() else {torch.float32})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"training_images": None}, "does not say how many images"),
        ({"complete": False}, "was stopped after epoch 1"),
        ({"evaluated": False}, "was not evaluated"),
        ({"seed": 1}, "by the recipe default as it is now, but with the seed 0; train it again"),
        ({"recipe": {"epochs": 3}}, "default as it is now, but with epochs=3; train it again"),
        ({"recipe_name": ""}, "was not trained by a recipe of its plugin"),
    ],
)
def test_a_run_that_must_not_be_shipped_is_refused_in_one_sentence(
    changes: dict[str, Any], says: str, cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("a.safetensors", **changes)
    capsys.readouterr()
    assert cli("ship", "a.safetensors", "--folder", "plugin") == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith("mnistzoo: a.safetensors ") and says in sentence
    assert not list(Path("plugin").iterdir())


def test_a_run_with_settings_of_its_own_is_refused_with_what_to_register(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    others = ("--epochs", "2", "--set", "rotation=5")
    assert cli("train", "shipnet", "--dataset", "mnist-10k", *others, "-o", "a.safetensors") == 0
    capsys.readouterr()
    assert cli("ship", "a.safetensors", "--folder", "plugin") == 1
    assert capsys.readouterr().err == (
        "mnistzoo: a.safetensors was trained with epochs=2, rotation=5, which its recipe default "
        "does not have; register a recipe with that, and train it again by --recipe\n"
    )


def test_runs_on_other_images_are_not_mixed(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    trained("a.safetensors")
    trained("b.safetensors", final=True)
    assert cli("ship", "a.safetensors", "b.safetensors", "--folder", "plugin") == 1
    assert (
        "several kinds of runs: shipnet by recipe default, 10,000 images of mnist-10k; shipnet by "
        "recipe default, 9,000 images of mnist-10k; give"
    ) in capsys.readouterr().err


def test_runs_are_recorded_with_the_number_of_their_images(record: Callable[..., Any]) -> None:
    trained("a.safetensors")
    trained("final.safetensors", final=True)
    record("a.safetensors")
    rows = record("final.safetensors")
    assert {row["dataset"] for row in rows} == {"mnist-10k"}
    commands = {row["images"]: row["command"] for row in rows}
    command = "mnistzoo train shipnet --recipe default --seed 0"
    assert commands == {
        "10000": f"{command} --final --dataset mnist-10k",
        "9000": f"{command} --dataset mnist-10k",
    }


def test_training_goes_on_from_weights_and_remembers_which(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    trained("a.safetensors")
    told = ("--dataset", "mnist-10k", "--weights", "a.safetensors", "--json", "facts.json")
    assert cli("train", "shipnet", *told) == 0
    (file,) = Path().glob("*from-a*.safetensors")
    facts = json.loads(Path("facts.json").read_text())
    sha256 = hashlib.sha256(Path("a.safetensors").read_bytes()).hexdigest()
    assert facts["initial_weights"] == read_metadata(file)["initial_weights"] == sha256
    assert facts["weights"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    first = read_metadata("a.safetensors")["metrics"]["validation_accuracy"]
    assert facts["metrics"]["validation_accuracy"] > first
    begun = f"fine-tuned from SHA-256 {sha256}"
    assert capsys.readouterr().out.count(begun) == 1
    assert begun in facts["weights"]["measured"]
    assert cli("ship", str(file), "--folder", "new/folder", "--json", "facts.json") == 0
    facts = json.loads(Path("facts.json").read_text())
    assert begun in facts["weights"]["measured"] and facts["weights"]["temperature"] is None
    assert "may have seen the validation images" in facts["uncalibrated"]
    assert begun in Path("new/folder/shipnet.md").read_text()
    assert cli("ship", str(file), "a.safetensors", "--folder", "mixed") == 1
    assert begun in capsys.readouterr().err and not Path("mixed").exists()


def test_weights_to_begin_with_that_do_not_fit_are_refused_before_the_training(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(3)}, "other.safetensors")
    data = ("--dataset", "mnist-10k")
    assert cli("train", "shipnet", *data, "--weights", "other.safetensors") == 1
    assert "does not fit" in capsys.readouterr().err
    assert not list(Path().glob("shipnet*"))
