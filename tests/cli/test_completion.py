"""Shell completion: in bash and fish themselves if installed, in zsh by its protocol."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Complete = Callable[[str], list[str]]
Install = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]

_TWO = """\
print("printed while it is imported")

@hookimpl
def register_models(register):
    recipe = Recipe(epochs=1, batch_size=64, optimizer="adam", learning_rate=0.001)
    print("printed in the hook")
    register(linear("net_one", aliases=("netalias",), recipes={"default": recipe, "quick": recipe}))
    register(linear("net_two", recipes={"default": recipe, "long": recipe}))
"""
_SHELLS = ["bash", "zsh", "fish"]
_LINES = {
    "bash": """\
source completion
COMP_WORDS=($LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
if [ "${LINE: -1}" = " " ]; then COMP_WORDS+=(""); COMP_CWORD=$((COMP_CWORD + 1)); fi
compopt() { :; }  # bash has it only while somebody types
_mnistzoo_completion mnistzoo
printf '%s\\n' "${COMPREPLY[@]}"
""",
    "fish": 'source completion; complete -C "$LINE"',
}


@pytest.fixture(params=_SHELLS)
def complete(
    request: pytest.FixtureRequest, install_plugin: Install, run_cli: Run, tmp_path: Path
) -> Complete:
    """Return ``complete(line)``: what the shell offers at its end; plugins print, and one fails."""
    install_plugin("two", _TWO)
    install_plugin("broken", "raise RuntimeError")
    shell = request.param
    script = run_cli(env={"_MNISTZOO_COMPLETE": f"{shell}_source"})
    assert script.returncode == 0 and "_mnistzoo_completion" in script.stdout
    work = tmp_path / "work"
    (work / "completion").write_text(script.stdout)
    (work / "mnistzoo").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mnistzoo "$@"\n')
    (work / "mnistzoo").chmod(0o755)

    def completing(line: str) -> list[str]:
        if shell == "zsh":  # its completion works in a terminal alone; this is what it calls
            words = line.split(" ")
            done = run_cli(
                env={
                    "_MNISTZOO_COMPLETE": "zsh_complete",
                    "COMP_WORDS": line,
                    "COMP_CWORD": str(len(words) - 1),
                }
            )
            assert (done.returncode, done.stderr) == (0, "")
            kinds, values = done.stdout.splitlines()[::3], done.stdout.splitlines()[1::3]
            both = zip(kinds, values, strict=True)  # each kind, value, help
            return sorted(value for kind, value in both if kind == "plain")
        if (program := shutil.which(shell)) is None:
            pytest.skip(f"{shell} is not installed")
        done = subprocess.run(
            [program, "-c", _LINES[shell]],
            env={
                **os.environ,
                "LINE": line,
                "PATH": f"{work}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(tmp_path / "sites" / "site"),
                "MNISTZOO_PLUGINS": "two,broken",
                "HOME": str(work),
            },
            cwd=work,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.stderr == ""
        return sorted(each.partition("\t")[0] for each in done.stdout.splitlines() if each)

    return completing


def test_the_shell_completes_commands_models_recipes_and_data_sets(complete: Complete) -> None:
    assert complete("mnistzoo plu") == ["plugins"]
    assert complete("mnistzoo data do") == ["download"]
    assert complete("mnistzoo train net") == ["net_one", "net_two", "netalias"]
    assert complete("mnistzoo compare net_two net_o") == ["net_one"]
    assert complete("mnistzoo models net_t") == ["net_two"]
    assert complete("mnistzoo predict --model net_") == ["net_one", "net_two"]
    assert complete("mnistzoo train netalias --recipe ") == ["default", "quick"]
    assert complete("mnistzoo compare net_two --train --recipe l") == ["long"]
    assert complete("mnistzoo train --recipe ") == ["default", "long", "quick"]
    assert complete("mnistzoo train net_one --dataset mnist-") == ["mnist-10k"]
    assert complete("mnistzoo evaluate net_one --wei") == ["--weights"]
