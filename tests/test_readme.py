"""Nothing stands in the README, or on the pages that took over from it, that was not run."""

import fnmatch
import json
import os
import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
from documents import PIP, README, ROOT, blocks, commands, run, tables
from first_party import FOLDERS, first_party
from PIL import Image

from mnistzoo import get_spec, load_model
from mnistzoo.measure import multiply_adds
from mnistzoo.plugins import load_plugins
from mnistzoo.report.figures import percent

COMMAND_LINE, MODELS, ONNX = (
    ROOT / "docs" / name for name in ("command-line.md", "models.md", "onnx.md")
)
TEXT = README.read_text("utf-8")
DISTRIBUTIONS = ",".join(FOLDERS)
FIRST_PARTY = set(first_party())

pytestmark = pytest.mark.skipif(
    not FOLDERS or not {plugin.distribution for plugin in load_plugins()} >= FOLDERS.keys(),
    reason="the README's models are not installed",
)


def shortened() -> list[list[str]]:
    """Return the pages' commands; trainings are cut to an epoch of the shipped data."""
    found = [words for page in (README, COMMAND_LINE, ONNX) for words in commands(page)]
    for words in found:
        if words[:2] == ["mnistzoo", "train"]:  # under the name that the whole training has
            recipe = words[words.index("--recipe") + 1] if "--recipe" in words else "default"
            words += ["-o", f"{words[2]}-{recipe}-seed0.safetensors"]
        if "train" in words or "--train" in words:
            words += ["--epochs", "1"]
            words += [] if "--dataset" in words else ["--dataset", "mnist-10k"]
    return [words for words in found if words[0] != "pip"]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the README's own plugin as the README says, and install it into a folder."""
    source = tmp_path_factory.mktemp("my-softmax")
    parts = [block for block in blocks(README) if block.path]
    assert [part.path for part in parts] == [
        "pyproject.toml",
        "my_softmax/__init__.py",
        "my_softmax/model.py",
    ]
    lines = [line for part in parts for line in part.text.splitlines() if line]
    assert f"A plugin in {len(lines)} lines" in headings()
    for part in parts:
        path = source / part.path
        path.parent.mkdir(exist_ok=True)
        path.write_text(part.text)
    installed = tmp_path_factory.mktemp("installed")
    run([*PIP, "--target", str(installed), "."], source)
    return installed


def headings() -> list[str]:
    return [line.lstrip("# ") for line in TEXT.splitlines() if line.startswith("#")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the pages' commands are run."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "seven.png", folder / "docs")
    return folder


@pytest.fixture(scope="module")
def outputs(folder: Path, plugin: Path) -> dict[str, str]:
    """Run every command of the pages, and return what each printed."""
    assert ["pip", "install", "."] in commands(README)
    path = os.pathsep.join([str(plugin), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {shlex.join(words): run(words, folder, PYTHONPATH=path) for words in shortened()}


def test_every_command_runs(folder: Path, outputs: dict[str, str]) -> None:
    assert (folder / "comparison.json").exists()
    (trained,) = [output for words, output in outputs.items() if "compare softmax" in words]
    assert "softmax" in trained


def test_the_commands_print_what_the_readme_shows(outputs: dict[str, str]) -> None:
    first, second, *_ = [shlex.join(words) for words in commands(README) if words[0] == "mnistzoo"]
    printed_lines = (outputs[first] + outputs[second]).splitlines()
    (shown,) = blocks(README, "text")
    for line in shown.text.splitlines():
        if line and line.strip() != "...":
            # Every word, in this order; the columns between are left out.
            printed = [iter(each.split()) for each in printed_lines]
            assert any(all(word in each for word in line.split()) for each in printed), line


def test_the_table_of_advice_has_the_right_figures() -> None:
    rows = tables(README)["Which model?"]
    assert len(rows) >= 5
    for _, model, parameters, operations, accuracy in rows:
        spec = get_spec(model.split("`")[1])
        assert parameters == f"{spec.num_params:,}"
        assert operations == f"{multiply_adds(load_model(spec.name)):,}"
        assert accuracy == percent(spec.declared_metrics["test_accuracy"])


def test_the_advice_is_right() -> None:
    advice = {use: model.split("`")[1] for use, model, *_ in tables(README)["Which model?"]}
    best = sorted(FIRST_PARTY, key=lambda name: -get_spec(name).declared_metrics["test_accuracy"])
    assert best[0] == advice["the best accuracy"]
    assert best[1] == advice["the best accuracy of a single net"]
    smallest = min(FIRST_PARTY, key=lambda name: get_spec(name).num_params or 0)
    assert smallest == advice["the fewest parameters"]
    quickest = min(FIRST_PARTY, key=epochs_of)
    assert f"`{quickest}` is the quickest to train, in a single epoch" in " ".join(TEXT.split())


def epochs_of(model: str) -> float:
    recipes = get_spec(model).recipes
    return recipes["default"].epochs if recipes else float("inf")


def test_the_table_of_models_has_the_declared_figures() -> None:
    table = run(["python", "scripts/models_table.py"], ROOT, MNISTZOO_PLUGINS=DISTRIBUTIONS)
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(FIRST_PARTY)
    assert "\n".join(rows) in MODELS.read_text("utf-8")


@pytest.fixture(scope="module")
def printed(folder: Path, outputs: dict[str, str]) -> list[str]:
    """Run the pages' Python, which takes files that the commands have written."""
    whole = ("import mnistzoo", "import Predictor")  # the others are files of the plugin
    texts = [block.text for page in (README, ONNX) for block in blocks(page, "python")]
    snippets = [text for text in texts if any(each in text for each in whole)]
    assert len(snippets) == 2
    return [run(["python", "-c", snippet], folder) for snippet in snippets]


def test_the_python_snippets_run(printed: list[str]) -> None:
    readme, onnx = printed
    accuracy, digit = readme.split()
    assert float(accuracy) > 0.9 and digit == "7"
    assert "tiny7k 0.99" in onnx and "(5, 10)" in onnx


@pytest.mark.usefixtures("printed")
def test_git_ignores_what_the_pages_write_into_a_clone(folder: Path) -> None:
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    written = [path.name for path in folder.iterdir() if path.is_file()]
    assert "comparison.csv" in written
    for name in written:
        assert any(fnmatch.fnmatchcase(name, pattern) for pattern in ignored), name


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(TEXT.splitlines()) <= 150


def test_the_picture_is_current() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "readme_picture.py"))
    with Image.open(script["PICTURE"]) as picture:
        drawn = json.loads(picture.info[script["CHUNK"]])
    assert drawn == script["points"](), "run python scripts/readme_picture.py"
    assert script["PICTURE"].stat().st_size < 100_000


def test_the_picture_of_the_page_shows_the_models_that_it_offers() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "pictures_of_pages.py"))
    with Image.open(script["DRAW"]) as picture:
        shown = json.loads(picture.info[script["CHUNK"]])
    assert shown == script["on_offer"](), "run python scripts/pictures_of_pages.py"


def test_the_pictures_take_no_time_to_load() -> None:
    pictures = set(re.findall(r"docs/\w+\.png", TEXT))
    assert "docs/draw.png" in pictures
    assert sum((ROOT / each).stat().st_size for each in pictures) < 300_000


def test_no_name_in_the_picture_covers_another() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "readme_picture.py"))
    figure, labels = script["draw"](script["points"]())
    boxes = {label.get_text(): label.get_window_extent() for label in labels}
    assert boxes.keys() == FIRST_PARTY
    for name, box in boxes.items():
        assert figure.bbox.fully_containsx(box.x0) and figure.bbox.fully_containsx(box.x1), name
        assert not any(box.overlaps(other) for each, other in boxes.items() if each != name), name


def test_ci_runs_the_readmes_test_command() -> None:
    (test_command,) = [
        block.text.strip() for block in blocks(README, "sh") if "pytest" in block.text
    ]
    install, pytest_command = test_command.split(" && ")
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert ci.index(install) < ci.index(pytest_command)
