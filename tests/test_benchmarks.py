"""``compare --benchmarks`` joins what pytest-benchmark measured; the baseline finds mistakes."""

import contextlib
import csv
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from processes import run

from mnistzoo.benchmarks import BenchmarkError, read_benchmarks

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RUNTIMES = ("eager", "onnx", "int8")
TRAINED = {"creation, us", "training of five steps, us"}
SHIPPED = {
    "export, us",
    "export, file_bytes",
    "first prediction, us",
    "first prediction, peak_memory_mb",
    "first prediction, above_torch_mb",
}
Run = Callable[..., subprocess.CompletedProcess[str]]


_WITHOUT_WEIGHTS = """\
@hookimpl
def register_models(register):
    register(linear("without_weights", weights=None))
"""

_BRANCHES = """\
@hookimpl
def register_models(register):
    register(linear("branches", expected_failures={"onnx": "its way depends on the images"}))
"""
_BRANCHES_MODEL = """\
from torch import nn


class Branches(nn.Sequential):
    def forward(self, images):
        return super().forward(images if images.max() > 0.5 else 2 * images)


def linear():
    return Branches(nn.Flatten(), nn.Linear(784, 10))
"""


@pytest.fixture
def result(install_plugin: Callable[..., Path], run_python: Run, tmp_path: Path) -> Path:
    """Return the result of some benchmarks of a model that only its plugin knows."""
    install_plugin("third-party")
    install_plugin("without-weights", _WITHOUT_WEIGHTS)
    install_plugin("branches", _BRANCHES, model_code=_BRANCHES_MODEL)
    path = tmp_path / "result.json"
    done = run_python(
        *("-m", "pytest", str(BENCHMARKS), "--benchmark-json", str(path), "-q"),
        *("-k", "calibration or third_party or without_weights or inference or test_export"),
        *("-p", "no:cacheprovider"),
    )
    assert done.returncode == 0, done.stdout
    return path


def test_an_installed_plugin_is_benchmarked_and_joined(
    result: Path, run_cli: Run, tmp_path: Path
) -> None:
    found = read_benchmarks(result)
    runs = [f"inference {each} {n}, us" for each in RUNTIMES for n in (1, 32, 256)]
    assert set(found.figures["third_party"]) == {*runs, *TRAINED, *SHIPPED}
    assert set(found.figures["without_weights"]) == TRAINED
    assert set(found.figures["branches"]) == {f"inference eager {n}, us" for n in (1, 32, 256)}
    medians = {
        each["name"]: each["stats"]["median"]
        for each in json.loads(result.read_text())["benchmarks"]
    }
    figures = found.figures["third_party"]
    expected = 1e6 * medians["test_inference[third_party-onnx-32]"]
    assert figures["inference onnx 32, us"] == expected
    # Not what the process of the benchmarks takes: that has the optional packages loaded as well.
    assert figures["first prediction, peak_memory_mb"] > 100
    assert figures["first prediction, above_torch_mb"] > 1
    assert "1 thread, " in found.machine and "torch" in found.machine

    done = run_cli(
        *("compare", "third_party", "--benchmarks", str(result), "--json", "facts.json"),
        *("--csv", "rows.csv", "--dataset", "mnist-10k"),
    )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "inference onnx 32, us" in line)
    shown = float(line.split()[-1].replace(",", ""))
    assert shown == pytest.approx(expected, rel=0.01)  # three digits are shown
    work = tmp_path / "work"
    (row,) = json.loads((work / "facts.json").read_text())["models"]
    assert row["benchmarks"] == figures
    (cells,) = csv.DictReader((work / "rows.csv").read_text().splitlines())
    assert float(cells["inference onnx 32, us"]) == pytest.approx(expected, rel=1e-5)  # six digits


def test_extra_info_becomes_a_figure(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    extra = {"model": "net", "params": 7, "threads": 1, "peak_memory_mb": 300.5}
    benchmark = {
        "name": "test_first_prediction[net]",
        "params": {"model": "net"},
        "extra_info": extra,
        "stats": {"median": 0.5},
    }
    path.write_text(json.dumps({"benchmarks": [benchmark], "machine_info": {}}))
    assert read_benchmarks(path).figures == {
        "net": {"first prediction, us": 5e5, "first prediction, peak_memory_mb": 300.5}
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hello", "is not a result of pytest-benchmark"),
        ("[]", "is not a result of pytest-benchmark"),
        ('{"benchmarks": [{}], "machine_info": {}}', "is not a result of pytest-benchmark"),
        ('{"benchmarks": [], "machine_info": {}}', "holds no benchmark of a model"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(BenchmarkError, match=rf"result\.json {sentence}"):
        read_benchmarks(tmp_path / "result.json")


def one_benchmark(median: str, *, model: str = "net", extra: str = "1") -> str:
    return (
        '{"benchmarks": [{"name": "test_creation", "params": null, "extra_info": {"model": '
        f'"{model}", "extra": {extra}}}, "stats": {{"median": {median}}}}}], "machine_info": {{}}}}'
    )


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1" + 400 * "0", "[1]", '"1"', "1e308"])
def test_figures_that_json_cannot_hold_are_refused_before_the_measuring(
    number: str, tmp_path: Path
) -> None:
    for text in (one_benchmark(number), one_benchmark("1", extra=number)):
        (tmp_path / "result.json").write_text(text)
        with contextlib.suppress(BenchmarkError):
            json.dumps(read_benchmarks(tmp_path / "result.json").figures, allow_nan=False)


def test_deep_nesting_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(one_benchmark("1", extra="[" * 10**5 + "]" * 10**5))
    with pytest.raises(BenchmarkError, match="is not a result of pytest-benchmark"):
        read_benchmarks(tmp_path / "result.json")


def test_names_are_one_printable_line(tmp_path: Path) -> None:
    hostile = r"net\u001b[2J\nmnistzoo: \ud800"
    (tmp_path / "result.json").write_text(one_benchmark("1", model=hostile))
    assert list(read_benchmarks(tmp_path / "result.json").figures) == ["net?[2J mnistzoo: ?"]


def regressions(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, BENCHMARKS / "regressions.py", *arguments])


def write_result(path: Path, **medians: float) -> Path:
    benchmarks = [{"name": name, "stats": {"median": each}} for name, each in medians.items()]
    path.write_text(json.dumps({"benchmarks": benchmarks}))
    return path


def test_a_slower_machine_passes_and_a_slower_benchmark_does_not(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    then = write_result(tmp_path / "then.json", test_calibration=1, test_a=2, test_b=3)
    assert regressions(then, "--baseline", baseline, "--write").returncode == 0
    slower_machine = write_result(tmp_path / "1.json", test_calibration=9, test_a=18, test_b=27)
    assert regressions(slower_machine, "--baseline", baseline).returncode == 0
    mistake = write_result(tmp_path / "2.json", test_calibration=1, test_a=2, test_b=10)
    done = regressions(mistake, "--baseline", baseline)
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if "SLOWER" in line)
    assert "test_b" in line
    gone = write_result(tmp_path / "5.json", test_calibration=1, test_a=2)
    done = regressions(gone, "--baseline", baseline)
    assert (done.returncode, "GONE  test_b" in done.stdout) == (1, True)
    plugin = write_result(tmp_path / "3.json", test_calibration=1, test_a=2, test_b=3, test_new=5)
    done = regressions(plugin, "--baseline", baseline)
    assert (done.returncode, "new  test_new" in done.stdout) == (0, True)
    assert regressions(plugin, "--baseline", baseline, "--write").returncode == 0
    assert set(json.loads(baseline.read_text())) == {"test_a", "test_b", "test_new"}
    nothing = write_result(tmp_path / "4.json", test_a=2)
    assert "test_calibration included" in regressions(nothing, "--baseline", baseline).stderr


def test_what_was_left_out_of_a_run_is_not_judged_and_stays_in_the_baseline(
    install_plugin: Callable[..., Path], run_python: Run, tmp_path: Path
) -> None:
    install_plugin("third-party")
    result, baseline = tmp_path / "result.json", tmp_path / "baseline.json"
    kept = {"test_creation[third_party]": 1e9, "test_read_idx[plain]": 1.0, "test_of_old": 1.0}
    baseline.write_text(json.dumps(kept | {"test_inference[third_party-eager-1]": 1e9}))
    # Left out are test_data.py by the paths, the creation by -k; test_of_old is nowhere any more.
    done = run_python(
        *(
            "-m",
            "pytest",
            str(BENCHMARKS / "test_models.py"),
            str(BENCHMARKS / "test_inference.py"),
        ),
        *(str(BENCHMARKS / "test_calibration.py"), "--benchmark-json", str(result), "-q"),
        *("-k", "calibration or (eager and third_party)", "-p", "no:cacheprovider"),
    )
    assert done.returncode == 0, done.stdout
    found = regressions(result, "--baseline", baseline)
    assert found.returncode == 1
    assert [line.split()[1] for line in found.stdout.splitlines() if "GONE" in line] == [
        "test_of_old"
    ]
    assert "2 of the baseline were not part of the run" in found.stdout
    assert regressions(result, "--baseline", baseline, "--write").returncode == 0
    written = json.loads(baseline.read_text())
    assert written["test_creation[third_party]"] == 1e9 and "test_of_old" not in written
    assert written["test_inference[third_party-eager-1]"] < 1e9
    assert regressions(result, "--baseline", baseline).returncode == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_peak_memory_is_that_of_the_fresh_process_alone() -> None:
    code = runpy.run_path(str(BENCHMARKS / "test_models.py"))["_FIRST_PREDICTION"]
    # The benchmark's own code, up to where it loads the model.
    before = code.partition("from mnistzoo")[0] + "print(before)\n"
    command = [sys.executable, "-c", before]
    small = float(run(command, check=True).stdout)
    ballast = np.ones(800 << 20, np.uint8)  # more than torch takes by itself
    large = float(run(command, check=True).stdout)
    assert ballast[-1] == 1
    assert abs(large - small) < 100
