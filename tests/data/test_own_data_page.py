"""docs/own-data.md is followed to the letter."""

import itertools
import os
import shlex
from pathlib import Path

import pytest
from documents import PIP, ROOT, blocks, run

from mnistzoo import list_models

PAGE = ROOT / "docs" / "own-data.md"
PASTED = [f"PASTE-THE-{nth}" for nth in ("1ST", "2ND", "3RD", "4TH")]


@pytest.mark.skipif(
    not {"tiny1k", "lenet5"} <= set(list_models()), reason="the page's models are not installed"
)
def test_the_page_leads_where_it_says(tmp_path: Path) -> None:
    outputs: dict[str, str] = {}
    installed = tmp_path / "installed"
    shown, last = iter(blocks(PAGE, "text")), ""
    for block in blocks(PAGE):
        if block.path:
            path = tmp_path / block.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "python":
            last = run(["python", "-c", block.text], tmp_path)
        elif block.language == "text":
            assert last.startswith(next(shown).text.strip())
        for command in block.commands if block.language == "console" else []:
            words = shlex.split(command)
            if words[0] == "pip":
                fill_in(tmp_path / "my-shapes/my_shapes/__init__.py", outputs)
                assert words[:2] == ["pip", "install"]
                last = run([*PIP, "--target", str(installed), *words[2:]], tmp_path)
                continue
            path_list = (str(installed), os.environ.get("PYTHONPATH"))
            last = outputs[command] = run(
                words,
                tmp_path,
                PYTHONPATH=os.pathsep.join(filter(None, path_list)),
                OMP_NUM_THREADS="1",
            )
    verified = outputs["mnistzoo data verify --dataset shapes-1"].splitlines()
    assert [line.split()[-1] for line in verified] == ["OK"] * 4
    report = (tmp_path / "shapes.md").read_text()
    assert "shapes (unverified)" in report and "official" not in report
    accuracy = float(outputs[train_command()].partition("test accuracy ")[2].split()[0])
    assert accuracy > 90
    assert "shapes-1" in outputs["mnistzoo compare tiny1k --train --epochs 4 --dataset shapes-1"]


def train_command() -> str:
    lines = itertools.chain.from_iterable(block.commands for block in blocks(PAGE, "console"))
    return next(line for line in lines if line.startswith("mnistzoo train"))


def fill_in(path: Path, outputs: dict[str, str]) -> None:
    """Paste the checksums that the page's command has printed."""
    text = path.read_text()
    lines = outputs["mnistzoo data verify --dataset shapes"].splitlines()
    for word, line in zip(PASTED, lines, strict=True):
        assert text.count(word) == 1
        text = text.replace(word, line.split()[0])
    path.write_text(text)
