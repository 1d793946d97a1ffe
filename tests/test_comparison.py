import base64
import csv
import dataclasses
import hashlib
import importlib
import io
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from comparisons import compared
from safetensors.torch import save_file
from torch import nn
from training_runs import trained

from mnistzoo import (
    ModelSpec,
    Recipe,
    Weights,
    evaluate,
    get_spec,
    hookimpl,
    load_dataset,
    load_model,
)
from mnistzoo.cli import main
from mnistzoo.comparison import Comparison, Difference, Measurement, Row, TrainingPlan, compare
from mnistzoo.measuring import measurements
from mnistzoo.plugins import register_plugin, unregister_plugin
from mnistzoo.registry import ModelError
from mnistzoo.report import ReportError
from mnistzoo.report.markdown import as_markdown
from mnistzoo.report.text import comparison_notes, comparison_table
from mnistzoo.statistics import holm, mcnemar
from mnistzoo.weights import read_metadata, save_weights

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


def measured(row: Row) -> Measurement:
    assert row.measurement is not None
    return row.measurement


@pytest.fixture(scope="module")
def shipped() -> Comparison:
    return compare(["raising", "poor", "untrained", "good"], DATA)


def test_rows_are_ordered_by_accuracy_and_failures_come_last(shipped: Comparison) -> None:
    assert [row.name for row in shipped.rows] == ["good", "poor", "raising", "untrained"]
    assert shipped.failed


def test_a_row_has_the_figures_of_evaluation(shipped: Comparison) -> None:
    row = shipped.rows[0]
    had = measured(row)
    found = evaluate(load_model("good"), DATA.test)
    assert row.accuracy == had.accuracy == found.accuracy
    assert had.accuracy_interval == found.accuracy_interval
    assert had.per_class_accuracy == found.per_class_accuracy
    assert had.multiply_adds == 7840
    assert (row.provider, had.train_seconds, row.error) == ("compare-tests", None, None)
    assert had.latency_us is not None
    assert had.latency_256_us is not None
    assert 0 < had.latency_us < had.latency_256_us
    assert had.file_bytes is not None
    assert had.file_bytes > 4 * 7850


def test_a_row_keeps_its_evaluation(shipped: Comparison) -> None:
    found = evaluate(load_model("good"), DATA.test)
    (kept,) = measured(shipped.rows[0]).evaluations
    assert kept.to_dict() == found.to_dict()
    assert (kept.correct == found.correct).all()
    assert measured(shipped.rows[0]).histories is None


def test_a_notebook_shows_a_comparison_in_one_line(shipped: Comparison) -> None:
    best = shipped.rows[0].name
    expected = f"Comparison('mnist-10k', models: {len(shipped.rows)}, best: {best!r})"
    assert repr(shipped) == expected
    assert repr(compared([])) == "Comparison('mnist-10k', models: 0)"


def test_one_model_is_measured_by_itself_and_nothing_had_is_lost_on_the_way() -> None:
    steps = list(measurements("good", DATA, device=torch.device("cpu")))
    had = [
        {field.name for field in dataclasses.fields(step) if getattr(step, field.name) is not None}
        for step in steps
    ]
    assert all(before <= after for before, after in itertools.pairwise(had))
    assert "latency_us" not in had[0] and {"latency_us", "latency_256_us"} <= had[-1]
    assert steps[-1].evaluations == steps[0].evaluations


def test_a_model_that_fails_has_its_reason_in_its_row(shipped: Comparison) -> None:
    raising, untrained = shipped.rows[2:]
    assert raising.measurement is untrained.measurement is None
    assert raising.error is not None
    assert untrained.error is not None
    assert "mnistzoo train untrained" in untrained.error


def test_neighbours_are_compared_on_the_same_images(shipped: Comparison) -> None:
    (difference,) = shipped.differences
    good, poor = (measured(row).evaluations[0].correct for row in shipped.rows[:2])
    assert (difference.first, difference.second) == ("good", "poor")
    assert difference.only_first == (good & ~poor).sum()
    assert difference.only_first - difference.only_second == good.sum() - poor.sum()
    assert difference.p_value < 0.001
    only = f"{difference.only_first} to {difference.only_second}"
    assert f"good than poor ({only}, p < 0.0001)" in "\n".join(comparison_notes(shipped))


def test_all_pairs_are_compared_and_adjusted_for_their_number() -> None:
    three = compared(["one", "two", "three"])
    pairs = {(each.first, each.second): each for each in three.pairs}
    names = [row.name for row in three.rows]
    assert list(pairs) == list(itertools.combinations(names, 2))
    right = {row.name: measured(row).evaluations[0].correct for row in three.rows}
    raw = {pair: mcnemar(*(right[name] for name in pair)) for pair in pairs}
    adjusted = holm([p_value for *_, p_value in raw.values()])
    for (pair, (only_first, only_second, _)), p_value in zip(raw.items(), adjusted, strict=True):
        found = pairs[pair]
        assert (found.only_first, found.only_second) == (only_first, only_second)
        assert found.p_value == p_value
    for neighbours in three.differences:
        assert neighbours.p_value <= pairs[neighbours.first, neighbours.second].p_value


def test_the_gallery_holds_the_images_that_say_most(shipped: Comparison) -> None:
    gallery = shipped.gallery
    assert gallery is not None
    good, poor = (measured(row).evaluations[0] for row in shipped.rows[:2])
    missed = ~good.correct & ~poor.correct
    assert gallery["missed_by_all"]["count"] == missed.sum()
    assert missed[gallery["missed_by_all"]["shown"]].all()
    only_good = good.correct & ~poor.correct
    assert gallery["only_best"]["model"] == "good"
    assert gallery["only_best"]["count"] == only_good.sum()
    assert only_good[gallery["only_best"]["shown"]].all()
    errors = gallery["confident_errors"]["poor"]
    assert errors["count"] == (~poor.correct).sum()
    confidence = np.where(poor.correct, 0, poor.probabilities.max(1))
    assert confidence[errors["shown"][0]] == confidence.max()
    for index, image in gallery["images"].items():
        assert image["label"] == DATA.test.labels[int(index)]
        pixels = np.frombuffer(base64.b64decode(image["pixels"]), np.uint8).reshape(28, 28)
        assert (pixels == DATA.test.images[int(index)]).all()
        digit, chance = image["answers"]["good"]
        assert digit == good.predictions[int(index)]
        assert chance == pytest.approx(good.probabilities[int(index)].max(), abs=1e-6)


def test_the_weights_of_a_row_are_told(shipped: Comparison) -> None:
    good = shipped.rows[0].to_dict()
    weights = get_spec("good").weights
    assert weights is not None
    assert good["weights_sha256"] == {"good": weights.sha256}
    assert good["provenance"] is None  # written by safetensors alone
    (row,) = compare(["untrained"], DATA, train=TrainingPlan(seeds=2)).rows
    told = row.to_dict()
    assert list(told["weights_sha256"]) == ["seed 0", "seed 1"]
    assert len(set(told["weights_sha256"].values())) == 2
    assert (told["provenance"]["seed"], told["provenance"]["recipe"]["epochs"]) == (0, 1)


def test_json_keeps_the_contract(shipped: Comparison, tmp_path: Path) -> None:
    shipped.save(tmp_path / "c.json")
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
    shipped.save(tmp_path / "c.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "c.csv").read_text())))
    assert [row["name"] for row in rows] == [row.name for row in shipped.rows]
    assert float(rows[0]["accuracy"]) == shipped.rows[0].accuracy
    assert "\n" not in rows[2]["error"]
    lines = as_markdown(comparison_table(shipped)).splitlines()
    assert len(lines) == 2 + len(shipped.rows)
    assert len({line.count("|") for line in lines}) == 1
    assert f"{100 * (shipped.rows[0].accuracy or 0):.2f}" in lines[2]


def test_a_breach_of_the_contract_leaves_the_accuracy_of_a_finished_training(
    tmp_path: Path,
) -> None:
    comparison = compare(["batchwise"], DATA, train=TrainingPlan())
    (row,) = comparison.rows
    assert row.accuracy is not None and row.accuracy > 0.8
    had = measured(row)
    assert had.accuracies == [row.accuracy]
    assert (had.seeds, had.train_threads) == ([0], 1)
    assert had.multiply_adds is not None and had.latency_us is None
    assert row.error is not None
    assert row.error.startswith("an image's logits differ by up to ")
    assert row.error.endswith("compute nothing over the batch's dimension in evaluation mode")
    assert comparison.failed
    cells = [column.value(row) for column in comparison_table(comparison).columns]
    assert f"{100 * row.accuracy:.2f}" in cells and cells[-1] == "-"
    assert f"batchwise: {row.error}" in comparison_notes(comparison)
    comparison.save(tmp_path / "c.csv")


def test_what_was_trained_and_how_stands_in_every_format(tmp_path: Path) -> None:
    plan = TrainingPlan(overrides={"batch_size": 500, "rotation": 10.0}, seeds=3)
    comparison = compare(["untrained"], DATA, train=plan)
    said = "trained now on mnist-10k, recipe default with batch_size=500, rotation=10, 3 seeds"
    assert any(note.startswith(said) for note in comparison_notes(comparison))
    comparison.save(tmp_path / "c.md")
    assert said in (tmp_path / "c.md").read_text()
    facts = comparison.to_dict()
    assert facts["dataset"]["name"] == "mnist-10k"
    assert facts["training"]["recipe"] == "default"
    assert facts["training"]["overrides"] == {"batch_size": 500, "rotation": 10.0}
    (model,) = facts["models"]
    assert [[epoch["number"] for epoch in history] for history in model["history"]] == [[1]] * 3
    assert (model["latency_threads"], model["train_threads"]) == (1, 1)
    assert "threads" not in facts["environment"]
    comparison.save(tmp_path / "c.csv")
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
    comparison = compare(["stopping", "good"], DATA, train=plan, out=folder)
    stopping, good = comparison.rows
    assert comparison.interrupted and comparison.failed
    had = measured(stopping)
    assert (stopping.name, had.seeds) == ("stopping", [0, 1])
    assert [len(history) for history in had.histories or ()] == [2, 2]
    assert stopping.error == "interrupted after 2 of 4 seeds"
    assert (good.accuracy, good.error) == (None, "interrupted")
    names = [f"stopping-default-seed{seed}-epochs=2-mnist-10k" for seed in range(3)]
    names[2] += "-epoch1of2"
    assert {path.name for path in folder.iterdir()} == {f"{name}.safetensors" for name in names}
    assert all(f"saved {folder / name}.safetensors" in caplog.text for name in names)
    metadata = [read_metadata(folder / f"{name}.safetensors") for name in names]
    assert [each["metrics"].get("test_accuracy") for each in metadata[:2]] == had.accuracies
    assert [each["complete"] for each in metadata] == [True, True, False]
    assert [each["evaluated"] for each in metadata] == [True, True, False]
    model = load_model("stopping", folder / f"{names[1]}.safetensors")
    assert evaluate(model, DATA.test).accuracy == (had.accuracies or [])[1]
    assert stopping.accuracy == pytest.approx(sum(had.accuracies or []) / 2)


def test_compare_saves_what_train_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    compare(["untrained"], DATA, train=TrainingPlan(), out=tmp_path / "compared")
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
    dataclasses.replace(shipped, rows=[hostile]).save(tmp_path / "c.md")
    text = (tmp_path / "c.md").read_text()
    assert r"no &lt;b&gt;digit&lt;/b&gt; for \\\[you\](http&#58;//x)" in text


def test_training_over_seeds_reports_their_mean_and_spread() -> None:
    plan = TrainingPlan(overrides={"epochs": 1}, seeds=3)
    (row,) = compare(["untrained"], DATA, train=plan).rows
    had = measured(row)
    assert had.seeds == [0, 1, 2]
    assert had.accuracies is not None
    assert len(set(had.accuracies)) > 1
    assert row.accuracy == pytest.approx(sum(had.accuracies) / 3)
    mean = row.accuracy or 0
    variance = sum((each - mean) ** 2 for each in had.accuracies) / 2
    assert had.accuracy_sd == pytest.approx(variance**0.5)
    assert had.train_seconds is not None
    assert had.train_seconds > 0
    again = compare(["untrained"], DATA, train=dataclasses.replace(plan, seeds=1)).rows[0]
    assert measured(again).accuracies == had.accuracies[:1]


def test_a_final_run_trains_on_the_validation_split_too_and_says_so() -> None:
    comparison = compare(["untrained"], DATA, train=TrainingPlan(final=True))
    assert "validation split included" in "\n".join(comparison_notes(comparison))
    held_out = compare(["untrained"], DATA, train=TrainingPlan())
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
    assert any("poor than good (40 to 5, p < 0.0001)" in note for note in notes)
    alike = dataclasses.replace(turned, p_value=0.05)
    notes = comparison_notes(dataclasses.replace(shipped, differences=[alike]))
    assert any(note == "not shown to differ: good and poor" for note in notes)


def test_an_unknown_model_is_an_error_and_not_a_shorter_table() -> None:
    with pytest.raises(ModelError, match="did you mean 'good'"):
        compare(["poor", "goood"], DATA)


def test_a_model_named_twice_appears_once() -> None:
    assert len(compare(["good", "good"], DATA).rows) == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [("c.txt", "must end in .json, .csv, .md or .html"), ("c", "must end in .json")],
)
def test_another_suffix_is_refused_in_one_sentence(
    name: str, says: str, shipped: Comparison, tmp_path: Path
) -> None:
    with pytest.raises(ReportError, match=says):
        shipped.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_ones_own_runs_stand_beside_the_zoos(tmp_path: Path) -> None:
    spec = get_spec("good")
    model, file = load_model("good"), tmp_path / "mine.safetensors"
    save_weights(model, file, {"model": "good"})
    zoos, mine = sorted(
        compare(["good", str(file)], DATA, device="cpu").rows, key=lambda r: -len(r.provider)
    )
    assert zoos.accuracy == mine.accuracy and zoos.params == mine.params == spec.num_params
    assert (mine.name, mine.provider) == (str(file), "")
    nameless = tmp_path / "nameless.safetensors"
    save_file(model.state_dict(), nameless)
    (row,) = compare([str(nameless)], DATA, device="cpu").rows
    assert "does not say which model it is of; `mnistzoo evaluate MODEL" in (row.error or "")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        compare([str(tmp_path / "none.onnx")], DATA)
    with pytest.raises(ModelError, match="is a file and is not trained; name its model"):
        compare([str(file)], DATA, train=TrainingPlan())


def test_a_file_beside_a_model_to_train_is_refused_by_the_command_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "l26.onnx", "good", "--train", "--dataset", "mnist-10k"])
    sentence = "mnistzoo: l26.onnx is a file and is not trained; name its model"
    assert capsys.readouterr().err.splitlines() == [sentence]


def test_evaluate_takes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.safetensors"
    save_weights(load_model("good"), file, {"model": "good"})
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", str(file), "--dataset", "mnist-10k", "--json", "-"])
    assert caught.value.code == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["model"] == str(file)
    assert facts["accuracy"] == evaluate(load_model("good"), DATA.test).accuracy
