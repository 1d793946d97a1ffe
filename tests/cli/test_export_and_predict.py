"""``mnistzoo export`` and ``mnistzoo predict``, as they are called."""

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from mnistzoo import ModelSpec, Predictor, load_dataset
from mnistzoo.cli import main
from mnistzoo.missing import install_command
from mnistzoo.pictures.decode import SUFFIXES

Run = Callable[..., subprocess.CompletedProcess[str]]

TEST = load_dataset("mnist-10k").test


@pytest.fixture
def cli(install_plugin: Callable[..., Path], run_cli: Run) -> Run:
    """Return ``cli(*arguments)``, with the model ``linear`` installed, which sees ones only."""
    install_plugin("linear")
    return run_cli


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return the folder in which the commands run."""
    folder = tmp_path / "work"
    folder.mkdir(exist_ok=True)
    return folder


def write_digits(folder: Path, count: int = 2) -> list[str]:
    folder.mkdir(exist_ok=True)
    names = [f"{number}.png" for number in range(count)]
    for name, image in zip(names, TEST.images, strict=False):
        Image.fromarray(image).save(folder / name)
    return names


def test_export_writes_the_file_and_prints_the_parity(cli: Run, work: Path) -> None:
    done = cli("export", "linear")
    assert (done.returncode, done.stderr) == (0, "")
    assert "11.35" in done.stdout and "wrote linear.onnx: linear in float32" in done.stdout
    assert Predictor(work / "linear.onnx").metadata["plugin"] == "linear 1.0"


def test_export_int8_compares_with_float32(cli: Run, work: Path) -> None:
    done = cli("export", "linear", "--int8", "--json", "facts.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert "int8 is" in done.stdout and "wrote linear-int8.onnx" in done.stdout
    facts = json.loads((work / "facts.json").read_text())
    assert facts["int8"]["file_bytes"] < facts["fp32"]["file_bytes"]
    assert facts["fp32"]["changed"] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["export", "linear", "--force"], 2, "--force needs --int8"),
        (["export", "nothing"], 2, "there is no model 'nothing'"),
        (["export", "linear", "-o", "nowhere/x.onnx"], 1, "nowhere/x.onnx: cannot be written"),
        (["export", "linear", "-o", "."], 2, "must end in .onnx"),
        (["export", "linear", "--weights", "no.safetensors"], 1, "no.safetensors"),
        (["export", "linear", "-o", "a.onnx", "--json", "a.onnx"], 2, "a.onnx is named twice"),
        (["predict", "x.png", "--json", "./x.png"], 2, "x.png is named twice"),
        (["export", "linear", "-o", "w.onnx", "--weights", "w.onnx"], 2, "w.onnx is named twice"),
        (["export", "linear", "-o", "x.txt"], 2, "the file name must end in .onnx"),
        (["export", "linear", "-o", "onnx"], 2, "the file name must end in .onnx"),
        (["export", "linear", "-o", "-"], 2, "--output must be a file"),
        (["predict", "x.png", "--model", "m.onnx", "--json", "m.onnx"], 2, "named twice"),
        (["compare", "u.onnx", "--json", "u.onnx"], 2, "u.onnx is named twice"),
        (["compare", "u.onnx", "--csv", "./u.onnx"], 2, "u.onnx is named twice"),
        (["compare", "u.onnx", "--markdown", "u.onnx"], 2, "u.onnx is named twice"),
        (["compare", "a.pt", "u.onnx", "--html", "u.onnx"], 2, "u.onnx is named twice"),
        (["evaluate", "u.safetensors", "--json", "u.safetensors"], 2, "named twice"),
        (["evaluate", "u.onnx", "--html", "u.onnx"], 2, "u.onnx is named twice"),
        (["ship", "a.safetensors", "--json", "a.safetensors"], 2, "named twice"),
        (["predict", "x" * 300], 1, "File name too long"),
        (["predict"], 2, "PICTURE"),
        (["predict", "x.png", "--model", "x.onnx", "--weights", "y"], 2, "an .onnx file has its"),
        (["predict", "x.png", "--model", "x.onnx"], 1, "x.onnx: No such file"),
        (["predict", "x.png", "--model", "nothing"], 2, "there is no model 'nothing'"),
        (["predict", "x.png"], 1, "x.png: No such file"),
        (["predict", "*.gif"], 1, "*.gif matches no file"),
        (["predict", "."], 1, ". holds no picture that can be seen"),
    ],
)
def test_wrong_usage_and_bad_input_are_one_sentence(
    cli: Run, work: Path, arguments: list[str], status: int, sentence: str
) -> None:
    done = cli(*arguments)
    assert done.returncode == status
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert "Usage: " in done.stderr or len(done.stderr.splitlines()) == 1
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("argument", ["digits", "digits/*.png"])
def test_predict_reads_directories_and_patterns(cli: Run, work: Path, argument: str) -> None:
    names = write_digits(work / "digits")
    done = cli("predict", argument, "--json", "-")
    assert (done.returncode, done.stderr.count("is in doubt")) == (0, 2)
    facts = json.loads(done.stdout)
    assert [each["file"] for each in facts["predictions"]] == [f"digits/{name}" for name in names]
    first = facts["predictions"][0]
    assert first["digit"] == 1 and first["confidence"] == pytest.approx(np.e / (np.e + 9))
    assert len(first["probabilities"]) == 10 and first["runner_up"] != 1


def test_predict_takes_the_model_with_the_best_shipped_weights(
    cli: Run, install_plugin: Callable[..., Path], work: Path
) -> None:
    code = """\
@hookimpl
def register_models(register):
    spec = linear("better")
    import dataclasses
    weights = dataclasses.replace(spec.weights, metrics={"test_accuracy": 0.5})
    register(dataclasses.replace(spec, weights=weights))
"""
    install_plugin("other", code)
    (name,) = write_digits(work, 1)
    assert "by better, under PyTorch" in cli("predict", name).stdout


def test_one_bad_picture_does_not_keep_the_others(cli: Run, work: Path) -> None:
    first, second = write_digits(work)
    (work / "text.png").write_text("hello")
    done = cli("predict", first, "text.png", "absent.png", second)
    assert done.returncode == 1
    assert first in done.stdout and second in done.stdout
    assert "text.png cannot be read as a picture" in done.stderr
    assert "absent.png: No such file" in done.stderr


def test_an_onnx_file_is_run_without_torch_and_a_model_says_that_it_needs_it(
    cli: Run, run_python: Run, work: Path
) -> None:
    (name,) = write_digits(work, 1)
    assert cli("export", "linear").returncode == 0
    code = (
        "import sys; sys.modules['torch'] = None\nfrom mnistzoo.cli import main; main(sys.argv[1:])"
    )
    done = run_python("-c", code, "predict", name, "--model", "linear.onnx")
    assert done.returncode == 0
    assert "by linear.onnx, under ONNX Runtime" in done.stdout
    failed = run_python("-c", code, "predict", name, "--model", "linear")
    assert failed.returncode == 1
    assert failed.stderr == (
        "mnistzoo: this needs the Python module torch, which is not installed; `pip install torch` "
        f"installs it, and `{install_command()}` all that mnistzoo needs (--debug shows where)\n"
    )


def two_digits(folder: Path) -> str:
    gap = np.zeros((28, 20), np.uint8)
    row = np.hstack([TEST.images[0], gap, TEST.images[1]])
    Image.fromarray(np.kron(255 - np.pad(row, 20), np.ones((4, 4), np.uint8))).save(
        folder / "two.png"
    )
    return "two.png"


def test_several_digits_are_read_left_to_right(cli: Run, work: Path) -> None:
    name = two_digits(work)
    done = cli("predict", name, "--json", "-", "--explain", "steps")
    assert done.returncode == 0 and "two.png shows 2 digits: 11" in done.stderr
    (prediction,) = json.loads(done.stdout)["predictions"]
    left, right = (digit["box"] for digit in prediction["digits"])
    assert prediction["text"] == "11" and left[2] <= right[0]
    steps = ["1-found", "2-contrast", "3-ink", "4-digits"]
    assert sorted(path.name for path in (work / "steps").iterdir()) == [
        f"two.png-{step}.png" for step in steps
    ]


def test_the_steps_of_pictures_of_one_name_are_kept_apart(cli: Run, work: Path) -> None:
    paths = [str(work / folder / write_digits(work / folder, 1)[0]) for folder in ("a", "b")]
    assert cli("predict", *paths, "--explain", "steps").returncode == 0
    steps = ["1-found", "2-contrast", "3-ink", "4-digits"]
    assert sorted(path.name for path in (work / "steps").iterdir()) == [
        f"{number}-0.png-{step}.png" for number in (1, 2) for step in steps
    ]


def test_one_insists_on_one_digit_and_doubts_it(cli: Run, work: Path) -> None:
    done = cli("predict", two_digits(work), "--one", "--json", "-")
    (prediction,) = json.loads(done.stdout)["predictions"]
    assert len(prediction["digits"]) == 1
    both = "there are 2 digits on the picture: 11; and of this one: the model is unsure"
    assert prediction["doubt"] == prediction["digits"][0]["doubt"] == both


def test_a_doubted_digit_has_its_reason_below_a_table_of_80_columns(cli: Run, work: Path) -> None:
    done = cli("predict", two_digits(work), "--one")
    assert "yes" in done.stdout and "two.png is in doubt: " in done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_a_terminal_gets_the_end_of_a_long_path_and_what_matters(
    cli: Run, run_python: Run, work: Path
) -> None:
    folder = work / ("pictures-of-" * 9)
    (name,) = write_digits(folder, 1)
    shown = {}
    for option in ("--wide", "--one"):
        ours, theirs = os.openpty()
        words = ("-m", "mnistzoo", "predict", str(folder / name), option)
        run_python(*words, stdout=theirs, env={"COLUMNS": "80", "TERM": "xterm"})
        os.close(theirs)
        with open(ours, "rb", buffering=0) as stream:
            shown[option] = stream.read(100_000).decode()
    assert str(folder / name) in shown["--wide"] and "box" in shown["--wide"]
    table = shown["--one"].partition("left out")[0]
    (row,) = [line for line in table.splitlines() if "0.png" in line]
    assert len(row) <= 80 and "…" in row and "pictures-of-/0.png" in row
    assert all(heading in table for heading in ("digit", "confidence %", "doubt", "yes"))


def test_a_directory_says_what_it_passed_over(cli: Run, work: Path) -> None:
    write_digits(work / "digits", 1)
    (work / "digits" / "notes.txt").write_text("hello")
    done = cli("predict", "digits")
    assert done.returncode == 0 and "digits/notes.txt is skipped" in done.stderr


def test_every_format_of_a_directory_is_read(cli: Run, work: Path) -> None:
    (work / "digits").mkdir()
    pillow_heif.register_heif_opener()
    image = Image.fromarray(np.kron(255 - TEST.images[0], np.ones((4, 4), np.uint8)))
    names = [f"digit{suffix}" for suffix in (*SUFFIXES, ".PNG")]
    for name in names:
        kind = "JPEG" if name.endswith(".jfif") else None
        image.convert("RGB").save(work / "digits" / name, kind)
    (work / "digits" / "notes.txt").write_text("hello")
    (work / "digits" / "more").mkdir()
    done = cli("predict", "digits", "--json", "-")
    facts = json.loads(done.stdout)
    read = [os.path.basename(each["file"]) for each in facts["predictions"]]
    assert done.returncode == 0 and sorted(read) == sorted(names) and facts["errors"] == []
    passed_over = [os.path.join("digits", name) for name in ("more", "notes.txt")]
    assert facts["passed_over"] == passed_over
    assert all(f"{path} is skipped" in done.stderr for path in passed_over)


def test_no_colour_is_written_where_none_is_wanted(cli: Run, work: Path) -> None:
    (name,) = write_digits(work, 1)
    colours = cli("predict", name, env={"FORCE_COLOR": "1"}).stdout
    plain = cli("predict", name, env={"FORCE_COLOR": "1", "NO_COLOR": "1"}).stdout
    piped = cli("predict", name).stdout
    # Of the codes of ECMA-48, 30 to 49 and 90 to 107 are colours.
    colour = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:[34][0-9]|9[0-7]|10[0-7])")
    assert name in plain and not colour.search(plain), repr(colours)
    assert name in piped and "\x1b" not in piped


def test_through_a_pipe_no_name_is_cut_off(cli: Run, work: Path) -> None:
    (name,) = write_digits(work, 1)
    long = f"{'a digit of a long name ' * 8}.png"
    (work / name).rename(work / long)
    done = cli("predict", long, env={"COLUMNS": "40"})
    assert done.returncode == 0 and long in done.stdout


def test_names_beyond_the_terminals_encoding_are_escaped(cli: Run, work: Path) -> None:
    (name,) = write_digits(work, 1)
    (work / name).rename(work / "\u4e03.png")
    done = cli("predict", "\u4e03.png", env={"PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0 and "\\u4e03.png" in done.stdout


def test_a_predictor_takes_a_path_bytes_a_pillow_image_and_an_array(cli: Run, work: Path) -> None:
    assert cli("export", "linear").returncode == 0
    (name,) = write_digits(work, 1)
    predictor = Predictor(work / "linear.onnx")
    with Image.open(work / name) as image:
        pictures = (work / name, (work / name).read_bytes(), image.copy(), np.asarray(image))
    found = [predictor.predict(picture) for picture in pictures]
    assert {each.digit for each in found} == {1}  # all that this model sees
    for each in found:
        assert (each.image == found[0].image).all()
        assert each.box == found[0].box
        assert each.confidence == max(each.probabilities)
        assert predictor.predict_all(work / name) == [each]
    two = np.concatenate([np.asarray(pictures[3])] * 2, axis=1)
    left, right = predictor.predict_all(two)
    assert left.box[0] < right.box[0]
    assert predictor.predict(two).doubt


def test_a_file_name_cannot_forge_a_line_or_command_the_terminal(cli: Run, work: Path) -> None:
    write_digits(work / "pictures", 1)
    hostile = work / "pictures" / "\x1b[2J\nmnistzoo: all is well.png"
    (work / "pictures" / "0.png").rename(hostile)
    hostile.with_suffix(".txt").touch()
    hostile.with_name("\x1b[2J\nmnistzoo: damaged.png").touch()
    done = cli("predict", "pictures", "--model", "linear", "--json", "facts.json")
    assert "?[2J mnistzoo: all is well.png" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    for line in (done.stdout + done.stderr).splitlines():
        assert not line.startswith(("mnistzoo: all", "mnistzoo: damaged"))
    assert json.loads((work / "facts.json").read_text())["predictions"][0]["file"].endswith(
        "\x1b[2J\nmnistzoo: all is well.png"
    )


def test_a_failure_that_nobody_foresaw_costs_its_picture_only(
    cli: Run, run_python: Run, work: Path
) -> None:
    first, second, third = write_digits(work, 3)
    code = f"""if True:
        import sys
        import mnistzoo.prediction
        read = mnistzoo.prediction.read
        def failing(picture, **options):
            return read(picture, **options) if picture != {second!r} else [][0]
        mnistzoo.prediction.read = failing
        from mnistzoo.cli import main; main(sys.argv[1:])
    """
    done = run_python("-c", code, "predict", first, second, third)
    assert done.returncode == 1 and first in done.stdout and third in done.stdout
    sentence = f"{second} cannot be read: unexpected IndexError: list index out of range (--debug"
    assert sentence in done.stderr and "Traceback" not in done.stderr
    debugged = run_python("-c", code, "predict", second, "--debug")
    assert "Traceback" in debugged.stderr and sentence in debugged.stderr


def test_the_doubts_of_a_picture_are_one_line(cli: Run, work: Path) -> None:
    done = cli("predict", two_digits(work))
    (line,) = [line for line in done.stderr.splitlines() if "in doubt" in line]
    assert line == "mnistzoo: two.png: 2 of 2 digits are in doubt: the model is unsure"


def test_predict_says_how_to_take_saved_weights(cli: Run, work: Path) -> None:
    (name,) = write_digits(work, 1)
    done = cli("predict", name, "--model", "my own.safetensors")
    assert done.returncode == 2
    assert "name both: --model MODEL --weights 'my own.safetensors'" in done.stderr


def test_predict_doubts_by_the_threshold_that_is_shipped_with_the_weights(
    register: Callable[..., None],
    linear_spec: Callable[..., ModelSpec],
    linear_weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = linear_spec("any").weights
    assert weights is not None
    # Its logits are 1 for the digit one and 0 for the others.
    for name, temperature, threshold in (("sure", 0.2, 0.9), ("unsure", 0.2, 0.95)):
        shipped = dataclasses.replace(weights, temperature=temperature, threshold=threshold)
        register(linear_spec(name, weights=shipped), plugin=name)
    register(linear_spec("plain"), plugin="plain")
    Image.fromarray(TEST.images[0]).save(tmp_path / "seven.png")

    def predicted(*words: str) -> str | None:
        with pytest.raises(SystemExit) as caught:
            main(["predict", str(tmp_path / "seven.png"), "--json", "-", "--model", *words])
        assert caught.value.code == 0
        (found,) = json.loads(capsys.readouterr().out)["predictions"]
        assert found["digit"] == 1
        temperature = 1 if words in (("plain",), own) else 0.2
        one = np.exp(1 / temperature)
        assert found["confidence"] == pytest.approx(one / (one + 9))  # 0.23, or 0.94
        doubt: str | None = found["doubt"]
        return doubt

    own = "sure", "--weights", str(linear_weights)
    assert predicted("sure") is None
    assert [predicted("unsure"), predicted("plain"), predicted(*own)] == ["the model is unsure"] * 3
