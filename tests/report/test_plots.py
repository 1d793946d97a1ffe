import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_data
from comparisons import compared
from matplotlib.text import Annotation, Text
from PIL import Image

import mnistzoo
from mnistzoo import ModelSpec, load_dataset
from mnistzoo.cli import main
from mnistzoo.report.plot_files import write_plots
from mnistzoo.report.plots import (
    Dot,
    accuracy_against,
    calibration,
    confusion,
    learning_curves,
    pareto_front,
)
from mnistzoo.report.saved import ComparisonFileError, read_comparison
from mnistzoo.rows import TrainingPlan
from mnistzoo.statistics import wilson_interval

OF_EACH = ("confusion", "calibration", "classes", "learning")
# Models that lie close together: accuracy, parameters, multiply-adds, latency.
CLOSE = {
    "ensemble": (0.9978, 2_108_970, 222_804_720, 5970),
    "resnet": (0.9973, 1_148_746, 116_862_464, 1972),
    "resnet_small": (0.9971, 421_794, 44_560_944, 1041),
    "convnet": (0.9962, 421_642, 4_241_152, 163),
    "tiny7k": (0.9946, 7546, 476_288, 277),
    "lenet": (0.9925, 61_706, 416_520, 107),
    "tiny1k_views": (0.9925, 1430, 1_068_928, 2147),
    "sprint": (0.9917, 33_018, 434_048, 107),
    "vit": (0.9912, 138_890, 2_279_040, 322),
    "tiny1k": (0.9907, 1430, 133_616, 240),
    "tiny968": (0.9898, 968, 651_600, 2134),
    "dense": (0.9895, 109_386, 109_184, 27),
}


def test_the_pareto_front_is_what_nothing_beats() -> None:
    dots = [Dot("dear", 9, 0.99), Dot("cheap", 1, 0.9), Dot("same", 1, 0.8), Dot("worse", 5, 0.85)]
    assert [dot.name for dot in pareto_front(dots)] == ["cheap", "dear"]
    assert [dot.name for dot in pareto_front([Dot("a", 2, 0.9), Dot("b", 1, 0.9)])] == ["b"]


@pytest.mark.parametrize("seed", range(5))
def test_no_name_covers_another_or_a_dot(seed: int) -> None:
    chances = np.random.default_rng(seed)
    dots = [
        Dot(f"model_{i}", 10 ** chances.uniform(3, 3 + seed), chances.integers(9_800, 10_001) / 1e4)
        for i in range(12)
    ]
    figure, names = accuracy_against(dots, "parameters", 10_000)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(name) for name in names]
    assert len(boxes) > 6
    for i, box in enumerate(boxes):
        assert figure.bbox.fully_contains(*box.min) and figure.bbox.fully_contains(*box.max)
        assert not box.count_overlaps(boxes[:i])
    middles = figure.axes[0].transData.transform(
        [(dot.cost, max(1 - dot.accuracy, 0.5 / 10_000)) for dot in dots]
    )
    assert not any(box.contains(x, y) for box in boxes for x, y in middles)
    assert mistakable(names, dots, middles) == []


def mistakable(names: list[Annotation], dots: list[Dot], middles: Any) -> list[str]:
    """Return the names to which no line leads, but another dot is nearer than their own."""
    found = []
    for name in names:
        assert name.arrow_patch is not None
        box = Text.get_window_extent(name)
        distances = {
            dot.name: np.hypot(*np.maximum(np.maximum(box.min - middle, middle - box.max), 0))
            for dot, middle in zip(dots, middles, strict=True)
        }
        own = name.get_text()
        if not name.arrow_patch.get_visible() and min(distances, key=distances.__getitem__) != own:
            found.append(own)
    return found


@pytest.mark.parametrize("cost", [0, 1, 2])
def test_each_name_stands_at_its_own_dot(cost: int) -> None:
    dots = [
        Dot(name, costs[cost], accuracy, wilson_interval(round(accuracy * 10_000), 10_000))
        for name, (accuracy, *costs) in CLOSE.items()
    ]
    figure, names = accuracy_against(dots, "cost", 10_000)
    figure.draw_without_rendering()
    assert {name.get_text() for name in names} == {dot.name for dot in dots}
    middles = figure.axes[0].transData.transform([(dot.cost, 1 - dot.accuracy) for dot in dots])
    assert mistakable(names, dots, middles) == []


def test_ten_models_close_together_all_have_their_names() -> None:
    chances = np.random.default_rng(1)
    dots = [
        Dot(f"model_{i}", float(10 ** (4 + i / 5)), 0.99 + 0.0005 * i + 0.001 * chances.random())
        for i in range(10)
    ]
    _, names = accuracy_against(dots, "parameters", 10_000)
    assert {name.get_text() for name in names} == {dot.name for dot in dots}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plots") / "comparison.json"
    compared(["one", "two", "three"], 2).save(path)
    return path


@pytest.fixture(scope="module")
def plotted(saved: Path) -> Path:
    folder = saved.parent / "new" / "plots"
    with pytest.raises(SystemExit) as caught:
        main(["plot", str(saved), "--out", str(folder)])
    assert caught.value.code == 0
    return folder


def test_plots_come_as_svg_and_png_from_the_json_alone(plotted: Path) -> None:
    side_by_side = ["params", "multiply-adds", "latency"]
    names = {"pairs", *(f"accuracy-{cost}" for cost in side_by_side)}
    names |= {f"{model}-{plot}" for model in ("one", "two", "three") for plot in OF_EACH}
    files = {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    assert {path.name for path in plotted.iterdir()} == files
    for path in plotted.glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 500
            assert len(np.unique(np.asarray(image.convert("L")))) > 5


def test_without_out_the_plots_have_a_folder_of_their_own(
    saved: Path,
    plotted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["plot", str(saved)])
    assert caught.value.code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["comparison-plots"]
    names = {path.name for path in plotted.iterdir()}
    assert {path.name for path in Path("comparison-plots").iterdir()} == names
    assert set(capsys.readouterr().out.split()) == {f"comparison-plots/{name}" for name in names}


def texts(path: Path) -> list[str]:
    root = ET.parse(path).getroot()
    return ["".join(each.itertext()).strip() for each in root.iter() if each.tag.endswith("}text")]


def test_plots_show_the_figures(plotted: Path, saved: Path) -> None:
    facts = json.loads(saved.read_text())
    one = facts["models"][0]
    counts = [str(count) for line in one["evaluation"]["confusion"] for count in line if count]
    shown = texts(plotted / "one-confusion.svg")
    assert all(shown.count(count) >= counts.count(count) for count in set(counts))
    assert "one" in shown
    error = one["evaluation"]["expected_calibration_error"]
    assert f"expected calibration error {error:.4f}" in texts(plotted / "one-calibration.svg")
    assert {"one", "two", "three"} <= set(texts(plotted / "accuracy-latency.svg"))
    pair = facts["pairs"][0]
    assert f"{pair['only_first']}:{pair['only_second']}" in texts(plotted / "pairs.svg")


def test_the_same_facts_give_the_same_files(plotted: Path, saved: Path, tmp_path: Path) -> None:
    facts = read_comparison(saved)
    for path in write_plots(facts | {"models": facts["models"][:1], "pairs": []}, tmp_path):
        assert path.read_bytes() == (plotted / path.name).read_bytes()


@pytest.mark.parametrize("overrides", [{}, {"optimizer_arguments": {"betas": [0.8, 0.9]}}])
def test_what_was_trained_now_is_plotted_from_its_json(
    overrides: dict[str, Any],
    register: Callable[..., None],
    linear_spec: Callable[..., ModelSpec],
    tmp_path: Path,
) -> None:
    register(linear_spec("linear"))
    for name, content in small_data.plain(small_data.arrays(classes=10)).items():
        (tmp_path / name).write_bytes(content)
    plan = TrainingPlan(overrides=overrides)
    comparison = mnistzoo.compare(["linear"], load_dataset(tmp_path), train=plan, device="cpu")
    comparison.save(tmp_path / "comparison.json")
    facts = read_comparison(tmp_path / "comparison.json")
    assert facts["training"]["overrides"] == overrides
    recipe = facts["models"][0]["provenance"]["recipe"]
    assert recipe["optimizer_arguments"] == overrides.get("optimizer_arguments", {})
    names = {path.name for path in write_plots(facts, tmp_path / "plots")}
    assert "linear-learning.svg" in names


@pytest.mark.parametrize(
    "classes",
    [
        [f"something_{number}" for number in range(10)],
        *(list(map(str, range(count))) for count in (2, 10, 47)),
    ],
    ids=["words", "2", "10", "47"],
)
def test_names_of_classes_do_not_cover_each_other(classes: list[str]) -> None:
    figure = confusion({"confusion": np.eye(len(classes), dtype=int).tolist()}, classes)
    figure.draw_without_rendering()
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        boxes = [label.get_window_extent().padded(1) for label in axis.get_ticklabels()]
        assert len(boxes) >= min(len(classes), 24)
        assert not any(box.count_overlaps(boxes[:i]) for i, box in enumerate(boxes))


def test_no_accuracy_on_the_scale_is_below_zero() -> None:
    dots = [Dot("first", 10, 0.02, (0.01, 0.03)), Dot("second", 20, 0.03, (0.02, 0.04))]
    figure, _ = accuracy_against(dots, "cost", 1000)
    figure.draw_without_rendering()
    assert figure.axes[0].get_ylim()[0] < 1.05
    shown = [float(label.get_text()) for label in figure.axes[0].get_yticklabels()]
    assert min(shown) == 0 and len(shown) > 1


@pytest.mark.parametrize("sure", [False, True])
def test_the_legend_of_the_confidence_covers_no_bar(sure: bool) -> None:
    bins: list[dict[str, float | None]] = [{"count": 0, "right": 0, "confidence": None}] * 12
    bins += [{"count": 800, "right": 400, "confidence": 0.9}] * 3
    facts = {"images": 900, "expected_calibration_error": 0.1}
    figure = calibration({**facts, "calibration_bins": bins if sure else bins[::-1]})
    figure.draw_without_rendering()
    legend = figure.axes[1].get_legend()
    assert legend is not None
    bars = [bar.get_window_extent() for bar in figure.axes[1].patches]
    assert not legend.get_window_extent().count_overlaps([bar for bar in bars if bar.height])


@pytest.mark.parametrize("epochs", [(1, 1, 1), (1, 3, 3)])
def test_learning_curves_show_each_run_even_of_one_epoch(epochs: tuple[int, ...]) -> None:
    figure = learning_curves(
        [
            [{"loss": 1.0 + seed, "validation_accuracy": 0.9 - seed / 100}] * count
            for seed, count in enumerate(epochs)
        ]
    )
    for axes, values in zip(figure.axes, ([1, 2, 3], [90, 89, 88]), strict=True):
        lines = [(np.asarray(line.get_ydata()), line.get_marker()) for line in axes.lines]
        seen = [run[0] for run, marker in lines if len(run) > 1 or marker not in ("", "None")]
        assert sorted(seen) == pytest.approx(sorted([*values, values[1]]))  # with the mean


def test_a_comparison_without_costs_has_its_other_plots(tmp_path: Path) -> None:
    facts = compared(["one", "two", "three"]).to_dict()
    for model in facts["models"]:
        model |= {"latency_us": None, "multiply_adds": 0, "history": None}
    names = {path.stem for path in write_plots(facts, tmp_path)}
    assert {"accuracy-params", "pairs", "one-confusion"} <= names
    assert not {"accuracy-latency", "accuracy-multiply-adds", "one-learning"} & names


def test_a_name_leads_out_of_no_folder_and_hides_no_other(saved: Path, tmp_path: Path) -> None:
    facts = json.loads(saved.read_text())
    renamed = ["../../out/$x^2$.onnx", "<script>&", "_script_"]
    for model, name in zip(facts["models"], renamed, strict=True):
        model |= {"name": name, "history": None}
    facts |= {"pairs": [], "gallery": None}
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    paths = list(write_plots(read_comparison(tmp_path / "facts.json"), tmp_path / "plots"))
    assert {path.parent for path in paths} == {tmp_path / "plots"}
    stems = {path.stem.removesuffix("-confusion") for path in paths if "confusion" in path.stem}
    assert stems == {"out_x_2_.onnx", "script", "script-2"}
    assert renamed[0] in texts(tmp_path / "plots" / "out_x_2_.onnx-confusion.svg")
    assert renamed[1] in texts(tmp_path / "plots" / "accuracy-params.svg")


def nonsense(facts: dict, change: str) -> str:  # type: ignore[type-arg]
    first, gallery = facts["models"][0], facts["gallery"]
    image = next(iter(gallery["images"].values()))
    match change:
        case "no object":
            return "[1, 2]"
        case "no JSON":
            return "{"
        case "NaN":
            return json.dumps(facts | {"models": [first | {"latency_us": float("nan")}]})
        case "nested":
            return "[" * 100_000
        case "accuracy":
            first["accuracy"] = 1.5
        case "half an accuracy":
            first["accuracy_interval"] = None
        case "confusion":
            first["evaluation"]["confusion"].pop()
        case "names":
            facts["models"].append(first)
        case "pair":
            facts["pairs"][0]["first"] = "unknown"
        case "pixels":
            image["pixels"] = "AAAA"
        case "base64":
            image["pixels"] = "<>"
        case "answers":
            image["answers"].pop("one")
        case "index":
            gallery["missed_by_all"]["shown"].append(123_456)
        case "name":
            first["name"] = ""
        case "count":
            first["params"] = 10**40
        case "recipe":
            facts["training"]["overrides"]["deep"] = "DEEP"
            return json.dumps(facts).replace('"DEEP"', "[" * 600 + "]" * 600)
        case "bins":
            first["evaluation"]["calibration_bins"][-1]["right"] = 10**6
    return json.dumps(facts)


@pytest.mark.parametrize(
    "change",
    [
        *("no object", "no JSON", "NaN", "nested", "accuracy", "half an accuracy", "confusion"),
        *("names", "pair", "pixels", "base64", "answers", "index", "name", "count", "bins"),
        "recipe",
    ],
)
def test_what_is_no_comparison_is_one_sentence(
    change: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nonsense.json"
    path.write_text(nonsense(json.loads(saved.read_text()), change))
    with pytest.raises(ComparisonFileError) as caught:
        read_comparison(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} is not the JSON of a comparison: ")
    assert len(sentence.splitlines()) == 1 and len(sentence) < 600
    with pytest.raises(SystemExit) as left:
        main(["plot", str(path), "--out", str(tmp_path / "plots")])
    assert left.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"mnistzoo: {sentence}"
    assert not (tmp_path / "plots").exists()
