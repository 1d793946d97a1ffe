"""Reads the Markdown of the README and the docs, and runs what stands there."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import processes

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(
    r"^(?:`(?P<path>[\w./-]+)`\n\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# Without isolation and dependencies, so that no network is needed.
PIP = ("pip", "install", "--quiet", "--no-build-isolation", "--no-deps")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``path`` is that of the file that it holds, or empty."""

    path: str
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        lines = self.text.splitlines()
        assert all(line.startswith("$ ") for line in lines), self.text
        return [line.removeprefix("$ ") for line in lines]


def blocks(page: Path, language: str = "") -> list[Block]:
    """Return the page's blocks in their order, those of one language or all."""
    found = [
        Block(match["path"] or "", match["language"], match["text"])
        for match in _BLOCK.finditer(page.read_text("utf-8"))
    ]
    return [block for block in found if language in ("", block.language)]


def commands(page: Path) -> list[list[str]]:
    """Return the words of the page's console commands."""
    return [shlex.split(line) for block in blocks(page, "console") for line in block.commands]


def tables(page: Path) -> dict[str, list[list[str]]]:
    """Return the rows of cells of each table, by the heading that it stands under.

    A second table under the same heading has the heading of its first column behind it:
    ``"Commands / option"``.
    """
    found: dict[str, list[list[str]]] = {}
    heading, rows = "", None
    for line in _BLOCK.sub("", page.read_text("utf-8")).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if not line.startswith("|"):
            rows = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if rows is None:
            name = heading if heading not in found else f"{heading} / {cells[0]}"
            rows = found[name] = []
        elif not set(cells[0]) <= set("-: "):
            rows.append(cells)
    return found


def names(cells: Iterator[str] | list[str]) -> list[str]:
    """Return what stands between backticks, without values: ``--json`` of ``--json FILE``."""
    return [name.split()[0] for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the page's headings."""
    text = _BLOCK.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    """Return the targets of the page's links within the repository."""
    text = _BLOCK.sub("", page.read_text("utf-8"))
    return re.findall(r"\]\((?!https?:)([^)]+)\)", text)


def run(words: list[str], folder: Path, *, expected: int = 0, **environment: str) -> str:
    """Run a command and return its stdout; ``mnistzoo`` and ``pip`` are those of this Python.

    It sees neither the settings nor the cache of whoever runs the tests.
    """
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("MNISTZOO_")
    }
    env = inherited | {"MNISTZOO_CACHE_DIR": str(folder / "cache")} | environment
    match words:
        case ["mnistzoo", *_]:
            done = processes.run_module(*words, env=env, cwd=folder)
        case ["python", "-m", *rest]:
            done = processes.run_module(*rest, env=env, cwd=folder)
        case _:
            start = {"pip": [sys.executable, "-m", "pip"], "python": [sys.executable]}
            command = [*start.get(words[0], words[:1]), *words[1:]]
            done = processes.run(command, env=env, cwd=folder)
    assert done.returncode == expected, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
