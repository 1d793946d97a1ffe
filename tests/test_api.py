"""The Python of docs/python.md runs, the whole API on small models."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, blocks, run

from mnistzoo.registry import list_models

PAGE = ROOT / "docs" / "python.md"
REPORT = "report.html"
WHOLE, *SNIPPETS = [block.text for block in blocks(PAGE, "python")]

pytestmark = pytest.mark.skipif(
    not {"mnistnet", "tiny1k"} <= set(list_models()), reason="the page's models are not installed"
)


def shortened(text: str) -> str:
    """Return the code with a small model in place of a large one, and one epoch of training."""
    assert 'train("mnistnet", data)' in text and '"resnet"' in text
    assert f'comparison.save("{REPORT}")' in text
    small = text.replace('"resnet', '"tiny1k')
    return small.replace('train("mnistnet", data)', 'train("mnistnet", data, epochs=1)')


def test_the_whole_api_works_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "docs" / "seven.png", tmp_path)
    *before, last = shortened(WHOLE).splitlines()
    code = "\n".join([*before, f"digit = {last}"])
    names: dict[str, Any] = {}
    exec(compile(code, "<docs/python.md>", "exec"), names)
    assert (names["image"].shape, names["label"]) == ((1, 28, 28), 7)
    assert names["images"].shape == (10_000, 1, 28, 28)
    assert (str(names["images"].dtype), str(names["labels"].dtype)) == (
        "torch.uint8",
        "torch.int64",
    )
    assert len(names["result"].history) == 1
    assert names["digit"] == 7
    assert {path.name for path in tmp_path.iterdir()} >= {
        "mnistnet.safetensors",
        REPORT,
        "tiny1k.onnx",
    }


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_the_snippets_run(number: int, tmp_path: Path) -> None:
    expected = (
        "torch.float32 (64, 1, 28, 28) torch.int64",
        "1 9000",
        "100 0.001 ",
        "became NaN or infinite in epoch 1, step ",
        "Linear(in_features=784",
    )
    assert len(SNIPPETS) == len(expected)
    assert expected[number] in run(["python", "-c", SNIPPETS[number]], tmp_path)
