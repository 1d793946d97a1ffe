"""The command line as a contract: exit codes, where text goes, and what it says."""

import json
import os
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from processes import run

import mnistzoo
from mnistzoo import ModelSpec
from mnistzoo.cli import group, main

Call = Callable[..., int]
Install = Callable[..., Path]
Register = Callable[..., None]
Run = Callable[..., subprocess.CompletedProcess[str]]
Spec = Callable[..., ModelSpec]

COMMANDS = [
    *("models", "datasets", "plugins", "data", "train", "evaluate", "compare", "plot", "export"),
    *("predict", "draw", "new-plugin", "check", "ship"),
]


@pytest.fixture
def call(
    linear_spec: Spec, register: Register, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Call:
    """Return ``call(*arguments)``: runs a command in the process, the model clitest registered."""
    register(linear_spec("clitest", aliases=("clialias",), tags=("dense",)))
    monkeypatch.chdir(tmp_path)

    def calling(*arguments: str) -> int:
        with pytest.raises(SystemExit) as caught:
            main(list(arguments))
        assert isinstance(caught.value.code, int)
        return caught.value.code

    return calling


@pytest.mark.parametrize("command", ["", *COMMANDS, "data path", "data download", "data verify"])
def test_help_is_there_for_each_command(
    command: str, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for option in ("--help", "-h"):
        assert call(*command.split(), option) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].startswith(f"Usage: mnistzoo {command}".rstrip())
    assert texts[0] == texts[1]


def test_help_lists_the_commands(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.strip()] == COMMANDS


@pytest.mark.parametrize(
    "line",
    [
        "nosuchcommand",
        "data nosuchcommand",
        "models --nosuchoption",
        "models a* b*",
        "train",
        "evaluate",
        "train clitest --epochs 0",
        "train clitest --epochs two",
        "train clitest --batch-size 0",
        "train clitest --lr nan",
        "train clitest --lr inf",
        "train clitest --lr -1",
        "train clitest --lr 0",
        "train clitest --seed -1",
        "train clitest -o weights.pt",
        "compare --seeds 2",
        "compare --seeds 0 --train",
        "compare --epochs 2",
        "compare --recipe default",
        "compare --final",
        "compare --json - --csv -",
        "compare --json - --html -",
        "evaluate clitest --json - --html -",
    ],
)
def test_wrong_usage_exits_2_and_says_so_on_stderr(
    line: str, call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(*line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Error: " in err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_an_unknown_data_set_exits_2_and_names_the_nearest(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("evaluate", "clitest", "--dataset", "mnist-1k") == 2
    assert capsys.readouterr() == (
        "",
        "mnistzoo: there is no data set and no folder 'mnist-1k'; did you mean 'mnist-10k'? "
        "`mnistzoo datasets` lists those installed\n",
    )


def repeated_options() -> list[str]:
    """Return each command with each option that takes one value, given twice."""
    lines = []
    context = click.Context(group)
    commands = {name: group.get_command(context, name) for name in COMMANDS}
    data = commands.pop("data")
    assert isinstance(data, click.Group)
    commands |= {f"data {name}": each for name, each in data.commands.items()}
    for name, command in commands.items():
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option) and not (option.is_flag or option.multiple):
                first, last = option.opts[0], option.opts[-1]
                lines.append(f"{name} clitest {first} 1 {last}=2")
    return lines


@pytest.mark.parametrize("line", repeated_options())
def test_an_option_given_twice_is_wrong_usage(
    line: str, call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(*line.split()) == 2
    out, err = capsys.readouterr()
    option = line.split()[-1].partition("=")[0]
    assert (out, err.splitlines()[-1]) == ("", f"Error: {option} is given 2 times; give it once")
    assert not list(tmp_path.iterdir())


def test_an_option_made_to_be_repeated_may_be_and_a_flag_too(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "train clitest --dataset mnist-10k --set batch_size=3000 --set shift=1 --final --final"
    assert call(*line.split(), "-o", "w.safetensors") == 0, capsys.readouterr().err


def assert_one_sentence(says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on stdout, and one sentence on stderr that says this."""
    out, err = capsys.readouterr()
    assert out == ""
    (sentence,) = err.splitlines()
    assert sentence.startswith("mnistzoo: ") and says in sentence


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("evaluate clitest --weights absent.safetensors", "absent.safetensors: "),
        ("evaluate clitest --weights absent.txt", "absent.txt: "),
        ("evaluate clitest --data-dir absent", "mnistzoo data download"),
        ("evaluate clitest --data-dir absent --json absent/a.json", "absent/a.json: "),
        ("compare clitest --data-dir absent", "mnistzoo data download"),
        ("data path --data-dir absent", "mnistzoo data download"),
        ("data path --dataset mnist-10k --data-dir absent", "leave --data-dir out"),
        ("train clitest --data-dir absent", "mnistzoo data download"),
        ("evaluate clitest --device cuda:99", "cuda:99 is not there, since this torch sees "),
        ("train clitest --device cuda:99", "cuda:99 is not there, since this torch sees "),
        ("models nosuchmodel*", "'nosuchmodel*'"),
        ("models CLI*", "did you mean 'cli*'?"),
        ("models CliTest", "did you mean 'clitest'?"),
        ("models clitets", "did you mean 'clitest'?"),
        ("train clitest --data-dir absent -o absent/a.safetensors", "absent/a.safetensors: "),
        ("train clitest --data-dir absent --json absent/a.json", "absent/a.json: "),
        ("train clitest --data-dir absent --json .", ".: is a directory"),
        ("compare clitest --data-dir absent --csv absent/a.csv", "absent/a.csv: "),
        ("models --json absent/a.json", "absent/a.json: "),
        ("plugins --json absent/a.json", "absent/a.json: "),
    ],
)
def test_an_error_exits_1_with_one_sentence_on_stderr(
    line: str, says: str, call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(*line.split()) == 1
    assert_one_sentence(says, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("evaluate clitets", "did you mean 'clitest'?"),
        ("evaluate CliTest", "did you mean 'clitest'?"),
        ("evaluate CLIALIAS", "did you mean 'clialias'?"),
        ("compare clitest clitets", "did you mean 'clitest'?"),
        ("train clitets", "did you mean 'clitest'?"),
        ("check Clitest", "did you mean 'clitest'?"),
        ("predict x.png --model clitets", "did you mean 'clitest'?"),
        ("train clitest --device tpu", "no device 'tpu'; take auto, cpu, cuda, cuda:N or mps"),
        ("evaluate clitest --device gpu:0", "no device 'gpu:0'"),
        ("compare clitest --device cuda:x", "no device 'cuda:x'"),
        ("evaluate nothinglikeit", "`mnistzoo models` lists those installed"),
        ("train clitest --recipe fast", "it has: default"),
        ("train clitest --recipe Defualt", "did you mean 'default'? it has: default"),
    ],
)
def test_a_name_that_nothing_has_is_wrong_usage_and_gets_the_nearest(
    line: str, says: str, call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(*line.split()) == 2
    assert_one_sentence(says, capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("trian clitest", "there is no command 'trian'; did you mean 'train'?"),
        ("Train clitest", "did you mean 'train'?"),
        ("MODELS", "did you mean 'models'?"),
        ("newplugin x", "did you mean 'new-plugin'?"),
        ("data dowload", "there is no command 'dowload'; did you mean 'download'?"),
        ("data Path", "did you mean 'path'?"),
        ("zzz", "take one of models, datasets, plugins, data"),
    ],
)
def test_a_misspelt_command_gets_the_nearest(
    line: str, says: str, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*line.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and says in err


@pytest.mark.parametrize(
    "line", ["--debug train nosuchmodel", "train --debug nosuchmodel", "train nosuchmodel --debug"]
)
def test_debug_shows_the_traceback_anywhere_on_the_line(line: str, run_cli: Run) -> None:
    result = run_cli(*line.split())
    assert result.returncode == 1  # Python's own, for a traceback
    assert "Traceback (most recent call last)" in result.stderr
    assert "no model 'nosuchmodel'" in result.stderr.splitlines()[-1]
    without = run_cli(*line.replace("--debug", "").split())
    assert "Traceback" not in without.stderr


def test_models_shows_a_table(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("models", "clite*") == 0
    heading, _, row = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert heading.split()[:3] == ["model", "parameters", "accuracy"]
    assert row.split()[:5] == ["clitest", "7,850", "11.35", "clialias", "default"]
    assert row.rstrip().endswith("Softmax regression")


def test_models_puts_pure_json_on_stdout(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("models", "clitest", "--json", "-") == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert model == {
        "name": "clitest",
        "aliases": ["clialias"],
        "summary": "Softmax regression",
        "params": 7850,
        "recipes": ["default"],
        "metrics": {"test_accuracy": 0.1135},
        "datasets": ["mnist"],
        "arguments": {},
        "stochastic": False,
        "tags": ["dense"],
        "license": "",
        "source": "",
        "provider": "tests",
        "version": "",
    }


@pytest.mark.parametrize("command", ["models", "plugins", "evaluate clitest", "compare clitest"])
def test_json_goes_to_a_file_beside_the_table_or_alone_to_stdout(
    command: str, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*command.split(), "--json", "facts.json") == 0
    assert "clitest" in capsys.readouterr().out
    in_file = json.loads(Path("facts.json").read_text())
    assert call(*command.split(), "--json", "-") == 0
    on_stdout = json.loads(capsys.readouterr().out)
    assert type(on_stdout) is type(in_file)
    if command in ("models", "plugins"):
        assert on_stdout == in_file
    else:
        assert on_stdout.keys() == in_file.keys()


def test_no_match_is_told_apart_from_an_empty_list_in_json(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("models", "nosuchmodel", "--json", "-") == 1
    assert json.loads(capsys.readouterr().out)["models"] == []


@pytest.mark.parametrize("factory", ["builtins:dict", "sys:exit", "torch.nn:Linear"])
def test_plugins_survives_a_factory_that_gives_no_model(
    factory: str,
    call: Call,
    linear_spec: Spec,
    register: Register,
    capsys: pytest.CaptureFixture[str],
) -> None:
    register(linear_spec("misfit", factory=factory), plugin="broken-here")
    assert call("plugins", "--json", "-") == 0
    found = {each["distribution"]: each for each in json.loads(capsys.readouterr().out)}
    assert "misfit" in found["broken-here"]["problems"][0]
    assert found["tests"]["problems"] == []


def test_data_path_finds_the_four_files_that_ship(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("data", "path", "--dataset", "mnist-10k") == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert len(paths) == 4 and all(path.is_file() for path in paths)
    assert call("data", "download", "--dataset", "mnist-10k") == 0
    assert {str(path.parent) for path in paths} == {capsys.readouterr().out.strip()}


def test_data_verify_shows_each_checksum_and_path(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("data", "verify", "--dataset", "mnist-10k") == 0
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert call("data", "path", "--dataset", "mnist-10k") == 0
    assert [path for _, path, _ in lines] == capsys.readouterr().out.splitlines()
    checksums = mnistzoo.load_dataset("mnist-10k").checksums
    assert [checksum for checksum, _, _ in lines] == list(checksums.values())
    assert {verdict for _, _, verdict in lines} == {"OK"}


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("models --json=~/facts.json", "facts.json"),
        ("compare clitest --csv=~/rows.csv", "rows.csv"),
        ("compare clitest --markdown=~/rows.md", "rows.md"),
        ("export clitest -o ~/net.onnx", "net.onnx"),
        ("new-plugin my-net --directory=~", "my-net"),
        ("data download --data-dir=~/mnist", "mnist"),
    ],
)
def test_a_tilde_is_the_home_folder_in_every_option(
    line: str, written: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    if written == "mnist":  # without a network the folder is all that comes of it
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        assert call(*line.split()) == 1
    else:
        assert call(*line.split()) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert (home / written).exists()


def test_the_module_and_the_script_are_the_same_command(run_cli: Run) -> None:
    script = Path(sysconfig.get_path("scripts"), "mnistzoo")
    by_script = run([script, "--version"], check=True)
    by_module = run_cli("--version")
    assert by_module.stdout == by_script.stdout == f"mnistzoo, version {mnistzoo.__version__}\n"
    assert by_module.returncode == 0


@pytest.mark.parametrize("line", ["--help", "models", *(f"{name} --help" for name in COMMANDS)])
def test_a_look_at_the_models_or_at_help_leaves_torch_unimported(
    line: str, install_plugin: Install, run_python: Run
) -> None:
    install_plugin("good")
    code = f"""\
import sys
from mnistzoo.cli import group, main
try:
    main({line.split()!r})
except SystemExit as done:
    sys.exit(done.code or 'torch' in sys.modules)
"""
    result = run_python("-c", code)
    assert (result.returncode, result.stderr) == (0, "")
    assert line != "models" or " good " in result.stdout


@pytest.mark.parametrize(
    "line", ["models", "models --json -", "data path --dataset mnist-10k", "--help"]
)
def test_a_reader_that_leaves_is_no_traceback(
    line: str, install_plugin: Install, run_python: Run
) -> None:
    install_plugin("good")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = run_python(
            *("-m", "mnistzoo", *line.split()),
            stdout=writer,
            stderr=subprocess.PIPE,
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("line", ["models", "models --json -", "--help"])
def test_a_full_disk_is_an_error_in_one_sentence(
    line: str, install_plugin: Install, run_python: Run
) -> None:
    install_plugin("good")
    with Path("/dev/full").open("w") as full:
        result = run_python(
            *("-m", "mnistzoo", *line.split()),
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert result.returncode == 1
    (sentence,) = result.stderr.splitlines()
    assert "No space left on device" in sentence


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_file_that_cannot_be_written_costs_neither_the_table_nor_the_other_files(
    call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "compare clitest --dataset mnist-10k --json /dev/full --csv rows.csv"
    assert call(*line.split()) == 1
    out, err = capsys.readouterr()
    assert "clitest" in out
    assert "mnistzoo: /dev/full: No space left on device" in err
    assert "clitest" in Path("rows.csv").read_text()
