import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mnistzoo.export import Export, OnnxFigures
from mnistzoo.report.figures import as_changed, counted
from mnistzoo.report.table import Column, Table
from mnistzoo.report.text import export_notes


@pytest.mark.parametrize(
    ("float32_us", "int8_us", "says"),
    [
        (100, 100, "as fast as"),
        (100, 104.9, "as fast as"),
        (104.9, 100, "as fast as"),
        (100, 106, "1.1 times slower than"),
        (106, 100, "1.1 times faster than"),
        (100, 25, "4.0 times faster than"),
    ],
)
def test_speeds_are_compared_in_words_that_their_ratio_bears_out(
    float32_us: float, int8_us: float, says: str
) -> None:
    fp32, int8 = (
        OnnxFigures(1000, 0.99, 0.0, 0, latency_us, latency_us)
        for latency_us in (float32_us, int8_us)
    )
    notes = export_notes(Export("net", "net.onnx", 20, "mnist-10k", 10, fp32, int8, "", {}))
    assert notes[-2:] == [
        f"int8 is {says} float32 here for {images}" for images in ("1 image", "256 images")
    ]


def test_one_thing_is_not_said_as_several() -> None:
    said = [counted(number, "epoch") for number in (0, 1, 2, 12_345)]
    assert said == ["0 epochs", "1 epoch", "2 epochs", "12,345 epochs"]


def test_what_was_changed_is_said_as_set_takes_it() -> None:
    changes = {
        "epochs": 1,
        "rotation": 10.0,
        "clip_norm": None,
        "compile": True,
        "optimizer": "sgd",
    }
    assert as_changed(changes) == (
        " with epochs=1, rotation=10, clip_norm=none, compile=true, optimizer=sgd"
    )
    assert as_changed({}) == ""


COLUMNS = [
    Column("name", str),
    Column("least", lambda row: "x" * 10, "right"),
    Column("most", lambda row: "x" * 10, priority=2),
    Column("less", lambda row: "x" * 10, priority=1),
]


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (42, ["name", "least", "most", "less"]),
        (41, ["name", "most", "less"]),
        (30, ["name", "most", "less"]),
        (29, ["name", "most"]),
        (17, ["name"]),
        (1, ["name"]),
    ],
)
def test_the_least_important_columns_fold_away_first(width: int, kept: list[str]) -> None:
    table = Table(COLUMNS, ["a"])
    assert [column.heading for column in table.fitting(width)] == kept


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (68, ["name", "version", "long", "state"]),
        (67, ["name", "long", "state"]),
        (58, ["name", "version", "state"]),
        (26, ["name", "state"]),
        (17, ["name", "version"]),
        (14, ["name"]),
    ],
)
def test_a_column_too_wide_takes_no_narrower_one_away(width: int, kept: list[str]) -> None:
    table = Table(
        [
            Column("name", str),
            Column("version", lambda row: "1.0"),
            Column("long", lambda row: "x" * 39, priority=1),
            Column("state", lambda row: "works okay", priority=2),
        ],
        ["a"],
    )
    assert [column.heading for column in table.fitting(width)] == kept


def in_terminal(run_python: Callable[..., object], *words: str) -> str:
    """Return what a command prints in a terminal of 40 columns."""
    ours, theirs = os.openpty()
    try:
        run_python("-m", "mnistzoo", *words, stdout=theirs, env={"COLUMNS": "40", "TERM": "dumb"})
    finally:
        os.close(theirs)
    with open(ours, "rb", buffering=0) as stream:
        return stream.read(100_000).decode()


def test_a_terminal_gets_what_fits_and_a_file_all(
    install_plugin: Callable[..., Path],
    run_python: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    install_plugin("good")
    narrow = in_terminal(run_python, "models")
    assert all(
        len(line) <= 40 for line in narrow.replace("\x1b[1m", "").split("\r\n") if "[" not in line
    )
    assert "left out to fit 40 columns:" in narrow and "--wide" in narrow
    assert "plugin" not in narrow.partition("left out")[0]
    for whole in (
        in_terminal(run_python, "models", "--wide"),
        run_python("-m", "mnistzoo", "models", env={"COLUMNS": "40"}).stdout,
    ):
        assert "summary" in whole and "left out" not in whole
