import csv
import dataclasses
import hashlib
import importlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from training_runs import trained

from mnistzoo import ModelSpec, Recipe, Weights, evaluate, hookimpl, load_dataset, load_model
from mnistzoo.cli import main
from mnistzoo.compare import Comparison, Difference, TrainingPlan, compare
from mnistzoo.plugins import register_plugin, unregister_plugin
from mnistzoo.registry import ModelError
from mnistzoo.report import (
    comparison_notes,
    comparison_table,
    write_csv,
    write_json,
    write_markdown,
)
from mnistzoo.weights import read_metadata

RECIPE = Recipe(epochs=1, batch_size=100, optimizer="adam", learning_rate=0.003)
DATA = load_dataset("mnist-10k")


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two models with weights of different quality, and others that raise or stop."""
    folder = tmp_path_factory.mktemp("compare_models")
    (folder / "compare_models.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def linear(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
        "class Raising(nn.Linear):\n"
        "    def __init__(self): super().__init__(784, 10)\n"
        "    def forward(self, images): raise RuntimeError('no digit\\nfor you')\n"
        "class BatchWise(nn.Sequential):\n"
        "    def __init__(self): super().__init__(nn.Flatten(), nn.Linear(784, 10))\n"
        "    def forward(self, images):\n"
        "        logits = super().forward(images)\n"
        "        return logits + 0.1 * logits.mean(0)\n"
        "class Stopping(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 10))\n"
        "        self.seed, self.steps = torch.initial_seed(), 0\n"
        "    def forward(self, images):\n"
        "        self.steps += self.training\n"
        "        if self.seed == 2 and self.steps == 100: raise KeyboardInterrupt\n"
        "        return super().forward(images)\n"
    )

    def trained_for(epochs: int) -> Weights:
        def create() -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

        recipe = dataclasses.replace(RECIPE, epochs=epochs)
        model, _ = trained(create, recipe, DATA.train[:2000])
        path = folder / f"epochs{epochs}.safetensors"
        save_file(model.state_dict(), path)
        return Weights(
            file=path.name,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            metrics={"test_accuracy": evaluate(model, DATA.test).accuracy},
            measured="in a test",
        )

    good, poor = trained_for(epochs=5), trained_for(epochs=1)

    class Plugin:
        @hookimpl
        def register_models(self, register: Callable[[ModelSpec], None]) -> None:
            common = {"summary": "", "num_params": 7850, "recipes": {"default": RECIPE}}
            for name, factory, weights in (
                ("good", "linear", good),
                ("poor", "linear", poor),
                ("raising", "Raising", good),
                ("untrained", "linear", None),
                ("batchwise", "BatchWise", None),
                ("stopping", "Stopping", None),
            ):
                register(
                    ModelSpec(
                        name=name,
                        factory=f"compare_models:{factory}",
                        weights=weights,
                        **common,  # type: ignore[arg-type]
                    )
                )

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        register_plugin(Plugin(), "compare-tests")
        yield
        unregister_plugin("compare-tests")


@pytest.fixture(scope="module")
def shipped() -> Comparison:
    return compare(["raising", "poor", "untrained", "good"], DATA)


def test_rows_are_ordered_by_accuracy_and_failures_come_last(shipped: Comparison) -> None:
    assert [row.name for row in shipped.rows] == ["good", "poor", "raising", "untrained"]
    assert shipped.failed


def test_a_row_has_the_figures_of_evaluation(shipped: Comparison) -> None:
    row = shipped.rows[0]
    found = evaluate(load_model("good"), DATA.test)
    assert row.accuracy == found.accuracy
    assert row.accuracy_interval == found.accuracy_interval
    assert row.per_class_accuracy == found.per_class_accuracy
    assert row.multiply_adds == 7840
    assert (row.provider, row.train_seconds, row.error) == ("compare-tests", None, None)
    assert row.latency_us is not None
    assert row.latency_256_us is not None
    assert 0 < row.latency_us < row.latency_256_us
    assert row.file_bytes is not None
    assert row.file_bytes > 4 * 7850


def test_a_model_that_fails_has_its_reason_in_its_row(shipped: Comparison) -> None:
    raising, untrained = shipped.rows[2:]
    assert raising.accuracy is None
    assert raising.error is not None
    assert untrained.error is not None
    assert "mnistzoo train untrained" in untrained.error


def test_neighbours_are_compared_on_the_same_images(shipped: Comparison) -> None:
    (difference,) = shipped.differences
    good, poor = shipped.rows[:2]
    assert good.correct is not None
    assert poor.correct is not None
    assert (difference.first, difference.second) == ("good", "poor")
    assert difference.only_first == (good.correct & ~poor.correct).sum()
    assert difference.only_first - difference.only_second == good.correct.sum() - poor.correct.sum()
    assert difference.p_value < 0.001
    assert "good is significantly better than poor" in "\n".join(comparison_notes(shipped))


def test_json_keeps_the_contract(shipped: Comparison, tmp_path: Path) -> None:
    write_json(shipped.facts(), str(tmp_path / "c.json"))
    facts = json.loads((tmp_path / "c.json").read_text())
    assert facts["dataset"]["images"] == 10_000
    assert facts["environment"]["versions"]["torch"] == torch.__version__
    needed = {
        *("name", "provider", "version", "params", "accuracy", "accuracy_interval"),
        *("per_class_accuracy", "train_seconds", "latency_us"),
    }
    assert all(needed <= model.keys() for model in facts["models"])
    good = facts["models"][0]
    assert len(good["per_class_accuracy"]) == 10
    assert 0 < good["accuracy_interval"][0] < good["accuracy"] < good["accuracy_interval"][1] < 1


def test_csv_and_markdown_hold_the_same_figures(shipped: Comparison, tmp_path: Path) -> None:
    write_csv(shipped, str(tmp_path / "c.csv"))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "c.csv").read_text())))
    assert [row["name"] for row in rows] == [row.name for row in shipped.rows]
    assert float(rows[0]["accuracy"]) == shipped.rows[0].accuracy
    assert "\n" not in rows[2]["error"]
    lines = comparison_table(shipped).markdown().splitlines()
    assert len(lines) == 2 + len(shipped.rows)
    assert len({line.count("|") for line in lines}) == 1
    assert f"{100 * (shipped.rows[0].accuracy or 0):.2f}" in lines[2]


def test_a_failed_latency_leaves_the_accuracy_of_a_finished_training(tmp_path: Path) -> None:
    comparison = compare(["batchwise"], DATA, TrainingPlan())
    (row,) = comparison.rows
    assert row.accuracy is not None and row.accuracy > 0.8
    assert row.accuracies == [row.accuracy]
    assert (row.seeds, row.train_threads) == ([0], torch.get_num_threads())
    assert row.latency_us is not None and row.latency_256_us is None
    assert row.error == "the timed calls gave other logits than the evaluation"
    assert comparison.failed
    cells = comparison_table(comparison).rows[0]
    assert f"{100 * row.accuracy:.2f}" in cells and cells[-1] == "-"
    assert f"batchwise: {row.error}" in comparison_notes(comparison)
    write_csv(comparison, str(tmp_path / "c.csv"))


def test_what_was_trained_and_how_stands_in_every_format(tmp_path: Path) -> None:
    plan = TrainingPlan(overrides={"batch_size": 500, "rotation": 10.0}, seeds=3)
    comparison = compare(["untrained"], DATA, plan)
    said = "trained now on mnist-10k, recipe default with batch_size=500, rotation=10, 3 seeds"
    assert any(note.startswith(said) for note in comparison_notes(comparison))
    write_markdown(comparison, str(tmp_path / "c.md"))
    assert said in (tmp_path / "c.md").read_text()
    facts = comparison.facts()
    assert facts["dataset"]["name"] == "mnist-10k"
    assert facts["training"]["recipe"] == "default"
    assert facts["training"]["overrides"] == {"batch_size": 500, "rotation": 10.0}
    (model,) = facts["models"]
    assert (model["latency_threads"], model["train_threads"]) == (1, torch.get_num_threads())
    assert "threads" not in facts["environment"]
    write_csv(comparison, str(tmp_path / "c.csv"))
    (row,) = csv.DictReader(io.StringIO((tmp_path / "c.csv").read_text()))
    told = {name: row[name] for name in ("name", "dataset", "recipe", "overrides", "final")}
    assert told == {
        "name": "untrained",
        "dataset": "mnist-10k",
        "recipe": "default",
        "overrides": "batch_size=500 rotation=10",
        "final": "False",
    }
    assert (row["latency_threads"], row["seeds"]) == ("1", "0 1 2")
    for figure in ("accuracy", "accuracy_sd", "train_seconds", "latency_us", "accuracy_3"):
        assert len(row[figure].replace(".", "").lstrip("0")) <= 7, (figure, row[figure])
        assert float(row[figure]) > 0


def test_an_interrupted_seed_leaves_those_before_it_and_the_weights_of_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "mnistzoo")
    plan = TrainingPlan(overrides={"epochs": 2}, seeds=4)
    folder = tmp_path / "new" / "folder"
    comparison = compare(["stopping", "good"], DATA, plan, out=folder)
    stopping, good = comparison.rows
    assert comparison.interrupted and comparison.failed
    assert (stopping.name, stopping.seeds) == ("stopping", [0, 1])
    assert stopping.error == "interrupted after 2 of 4 seeds"
    assert (good.accuracy, good.error) == (None, "interrupted")
    names = [f"stopping-default-seed{seed}-epochs=2-mnist-10k" for seed in range(3)]
    names[2] += "-epoch1of2"
    assert {path.name for path in folder.iterdir()} == {f"{name}.safetensors" for name in names}
    assert all(f"saved {folder / name}.safetensors" in caplog.text for name in names)
    metadata = [read_metadata(folder / f"{name}.safetensors") for name in names]
    assert [each["metrics"].get("test_accuracy") for each in metadata[:2]] == stopping.accuracies
    assert [each["complete"] for each in metadata] == [True, True, False]
    assert [each["evaluated"] for each in metadata] == [True, True, False]
    model = load_model("stopping", folder / f"{names[1]}.safetensors")
    assert evaluate(model, DATA.test).accuracy == (stopping.accuracies or [])[1]
    assert stopping.accuracy == pytest.approx(sum(stopping.accuracies or []) / 2)


def test_compare_saves_what_train_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compare(["untrained"], DATA, TrainingPlan(), out=tmp_path / "compared")
    with pytest.raises(SystemExit) as caught:
        main(["train", "untrained", "--dataset", "mnist-10k"])
    assert caught.value.code == 0
    (trained,), (compared,) = (list(tmp_path.glob(f"{sub}*.safetensors")) for sub in ("", "*/"))
    assert trained.name == compared.name
    differing = {"train_seconds", "environment"}
    metadata = [read_metadata(path) for path in (trained, compared)]
    assert metadata[0].keys() == metadata[1].keys()
    assert all(metadata[0][name] == metadata[1][name] for name in metadata[0].keys() - differing)
    states = [load_model("untrained", path).state_dict() for path in (trained, compared)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_text_of_an_exception_brings_no_markup_into_a_report(
    shipped: Comparison, tmp_path: Path
) -> None:
    hostile = dataclasses.replace(shipped.rows[-1], error=r"no <b>digit</b> for \[you](http://x)")
    write_markdown(dataclasses.replace(shipped, rows=[hostile]), str(tmp_path / "c.md"))
    text = (tmp_path / "c.md").read_text()
    assert r"no &lt;b&gt;digit&lt;/b&gt; for \\\[you\](http&#58;//x)" in text


def test_training_over_seeds_reports_their_mean_and_spread() -> None:
    plan = TrainingPlan(overrides={"epochs": 1}, seeds=3)
    (row,) = compare(["untrained"], DATA, plan).rows
    assert row.seeds == [0, 1, 2]
    assert row.accuracies is not None
    assert len(set(row.accuracies)) > 1
    assert row.accuracy == pytest.approx(sum(row.accuracies) / 3)
    mean = row.accuracy or 0
    variance = sum((each - mean) ** 2 for each in row.accuracies) / 2
    assert row.accuracy_sd == pytest.approx(variance**0.5)
    assert row.train_seconds is not None
    assert row.train_seconds > 0
    again = compare(["untrained"], DATA, dataclasses.replace(plan, seeds=1)).rows[0]
    assert again.accuracies == row.accuracies[:1]


def test_a_final_run_trains_on_the_validation_split_too_and_says_so() -> None:
    comparison = compare(["untrained"], DATA, TrainingPlan(final=True))
    assert "validation split included" in "\n".join(comparison_notes(comparison))
    held_out = compare(["untrained"], DATA, TrainingPlan())
    assert comparison.rows[0].accuracy != held_out.rows[0].accuracy


def test_ctrl_c_keeps_the_rows_that_are_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    compare_models = importlib.import_module("compare_models")

    def interrupted() -> nn.Module:
        raise KeyboardInterrupt

    monkeypatch.setattr(compare_models, "Raising", interrupted)
    rows = compare(["good", "raising", "poor"], DATA).rows
    assert [(row.name, row.error) for row in rows] == [
        ("good", None),
        ("poor", "interrupted"),
        ("raising", "interrupted"),
    ]


def test_the_note_names_the_better_model_whichever_row_is_first(shipped: Comparison) -> None:
    turned = Difference("good", "poor", only_first=5, only_second=40, p_value=1e-7)
    notes = comparison_notes(dataclasses.replace(shipped, differences=[turned]))
    assert any("poor is significantly better than good" in note for note in notes)
    alike = dataclasses.replace(turned, p_value=0.05)
    notes = comparison_notes(dataclasses.replace(shipped, differences=[alike]))
    assert any("good is not shown to differ from poor" in note for note in notes)


def test_an_unknown_model_is_an_error_and_not_a_shorter_table() -> None:
    with pytest.raises(ModelError, match="did you mean 'good'"):
        compare(["poor", "goood"], DATA)


def test_a_model_named_twice_appears_once() -> None:
    assert len(compare(["good", "good"], DATA).rows) == 1
