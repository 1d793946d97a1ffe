"""Which models ``mnistzoo compare`` takes where it is given none."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from small_data import NAMES, arrays

from mnistzoo import write_idx

Install = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

UNTRAINED = """
@hookimpl
def register_models(register):
    register(linear("untrained", weights=None))
    register(linear("pair", factory="untrained.model:pair", members=("good", "untrained"),
                    num_params=2 * 7850, recipes={}, weights=None))
"""


def names(done: subprocess.CompletedProcess[str]) -> set[str]:
    return {row["name"] for row in json.loads(done.stdout)["models"]}


def test_models_without_weights_are_left_out_unless_they_are_named(
    install_plugin: Install, run_cli: Run
) -> None:
    install_plugin("good")
    install_plugin("untrained", UNTRAINED)
    done = run_cli("compare", "--dataset", "mnist-10k", "--json", "-")
    assert (done.returncode, names(done)) == (0, {"good"})
    assert (
        "without weights trained on mnist-10k, and left out: pair, untrained; `mnistzoo compare "
        "MODEL --train --dataset mnist-10k` trains one now"
    ) in done.stderr
    done = run_cli("compare", "good", "untrained", "--dataset", "mnist-10k", "--json", "-")
    assert (done.returncode, names(done)) == (1, {"good", "untrained"})


def test_a_comparison_of_no_models_is_one_sentence(
    install_plugin: Install, run_cli: Run, tmp_path: Path
) -> None:
    install_plugin("good")
    for name, array in zip(NAMES, arrays(), strict=True):
        write_idx(tmp_path / name, array)
    done = run_cli("compare", "--dataset", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no installed model ships weights trained on " in done.stderr
    assert f"`mnistzoo compare MODEL --train --dataset {tmp_path}` trains one now" in done.stderr
