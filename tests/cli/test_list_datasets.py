"""``mnistzoo datasets``: what it lists, in text and JSON, with plugins that fail and conflict."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import mnistzoo

Run = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[..., Path]

_SHAPES = """\
from mnistzoo import DataFile, DatasetSpec

@hookimpl
def register_datasets(register):
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte") * 2
    files = tuple(DataFile(name, f"md5:{{'0' * 32}}") for name in names)
    register(
        DatasetSpec(
            name={name!r},
            summary="Circles and squares",
            classes=("circle", "square"),
            train=files[:2],
            test=files[2:],
            train_images=1200,
            test_images=200,
            validation_size=100,
            sources=("https://example.org/shapes/",),
            license="CC0-1.0",
        )
    )
"""


def test_it_lists_mnistzoos_own_and_those_of_plugins(install_plugin: Install, run_cli: Run) -> None:
    install_plugin("shapes", _SHAPES.format(name="shapes"), "2.5")
    done = run_cli("datasets")
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.split()}
    assert rows["shapes"][:6] == ["shapes", "2", "1,200", "200", "CC0-1.0", "example.org"]
    assert rows["mnist"][1:5] == ["10", "60,000", "10,000", "CC-BY-SA-3.0"]
    assert "its package" in " ".join(rows["mnist-10k"])
    assert (done.returncode, done.stderr) == (0, "")


def test_json_holds_all_that_is_declared_and_where_it_is(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("shapes", _SHAPES.format(name="shapes"), "2.5")
    facts = json.loads(run_cli("datasets", "--json", "-").stdout)
    by_name = {each["name"]: each for each in facts["datasets"]}
    assert (list(by_name), facts["problems"]) == (["mnist", "mnist-10k", "shapes"], [])
    assert by_name["shapes"] == {
        "name": "shapes",
        "summary": "Circles and squares",
        "classes": ["circle", "square"],
        "train_images": 1200,
        "validation_images": 100,
        "test_images": 200,
        "license": "CC0-1.0",
        "source": "",
        "found": [],
        "sources": ["https://example.org/shapes/"],
        "provider": "shapes",
        "version": "2.5",
    }
    (found,) = by_name["mnist-10k"]["found"]
    assert (Path(found) / "t10k-images-idx3-ubyte.gz").is_file()
    assert by_name["mnist-10k"]["version"] == mnistzoo.__version__


def test_a_plugin_that_fails_conflicts_or_takes_mnistzoos_names_stops_no_other(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good", _SHAPES.format(name="shapes"))
    install_plugin("twin-one", _SHAPES.format(name="twin"))
    install_plugin("twin-two", _SHAPES.format(name="twin"))
    install_plugin("thief", _SHAPES.format(name="mnist"))
    install_plugin("half", _SHAPES.format(name="half") + "    raise LookupError('no other half')\n")
    done = run_cli("datasets", "--json", "-")
    facts = json.loads(done.stdout)
    assert [each["name"] for each in facts["datasets"]] == ["mnist", "mnist-10k", "shapes"]
    assert done.returncode == 0
    for problem in (
        "half 1.0 failed to load: LookupError: no other half",
        "the data sets mnist and mnist-10k are mnistzoo's own",
        "the name 'twin' is claimed by twin-one 1.0 and twin-two 1.0",
    ):
        assert any(problem in each for each in facts["problems"]), problem
        assert problem in done.stderr
    (good,) = (
        each
        for each in json.loads(run_cli("plugins", "--json", "-").stdout)
        if each["distribution"] == "good"
    )
    assert (good["models"], good["datasets"], good["problems"]) == ([], ["shapes"], [])


def test_commands_take_a_data_set_of_a_plugin_by_name(
    install_plugin: Install, run_cli: Run, tmp_path: Path
) -> None:
    install_plugin("shapes", _SHAPES.format(name="shapes"))
    (tmp_path / "empty").mkdir()
    done = run_cli("data", "path", "--dataset", "shapes", "--data-dir", str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "mnistzoo data download --dataset shapes --data-dir" in done.stderr
