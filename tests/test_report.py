import pytest

from mnistzoo.export import Export, OnnxFigures
from mnistzoo.report.figures import as_changed, counted
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
    notes = export_notes(Export("net", "net.onnx", 20, fp32, int8, "a processor", {}))
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
