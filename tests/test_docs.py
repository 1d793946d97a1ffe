"""The tutorial is followed to the letter; the reference names what is there and nothing else."""

import itertools
import os
import re
import shlex
from pathlib import Path

import pytest
import reference
from documents import (
    PAGES,
    PIP,
    ROOT,
    Block,
    anchors,
    blocks,
    commands,
    links,
    names,
    run,
    tables,
)

from mnistzoo.missing import REQUIREMENT, install_command

TUTORIAL, REFERENCE = (ROOT / "docs" / name for name in ("writing-a-plugin.md", "reference.md"))


class Reader:
    """Does what the tutorial says, in a folder of its own.

    ``pip install -e`` becomes an installation of a copy, so that no network is needed; the folder
    with the source comes before it, so that edits take effect as they do with ``-e``.
    """

    def __init__(self, folder: Path, installed: Path) -> None:
        self.folder = folder
        self.installed = installed
        self.outputs: list[str] = [""]

    def follow(self, block: Block, shown: str) -> None:
        """Take one block; ``shown`` is the output that the page shows of its last command."""
        match block.language:
            case "console":
                for command in block.commands:
                    self.type(shlex.split(command), fails="FAILED" in shown)
            case "text":
                lines = self.outputs[-1].splitlines()
                for line in block.text.splitlines():
                    assert any(each.startswith(line) for each in lines), (line, self.outputs[-1])
            case "diff":
                self.edit(self.folder / block.path, block.text)
            case "python" if block.path:
                assert (self.folder / block.path).exists()
                (self.folder / block.path).write_text(block.text)
            case _:  # quotes what is there
                assert block.text in (self.folder / "pyproject.toml").read_text()

    def type(self, words: list[str], fails: bool) -> None:
        if words[0] == "cd":
            self.folder /= words[1]
        elif words[0] == "pip":
            assert words[1:] == ["install", "-e", ".[test]"]
            run([*PIP, "--target", str(self.installed), "."], self.folder)
        else:
            path = (self.folder, self.installed, os.environ.get("PYTHONPATH"))
            output = run(
                words,
                self.folder,
                expected=1 if fails else 0,
                PYTHONPATH=os.pathsep.join(str(each) for each in path if each),
                PYTHONSAFEPATH="1",  # as for the command: the current folder is not on the path
                MNISTZOO_PLUGINS="my-digits",
                OMP_NUM_THREADS="1",
                COLUMNS="200",
            )
            self.outputs.append(output)

    def edit(self, path: Path, diff: str) -> None:
        """Change a file as a diff says, and fill in what only the reader can know."""
        text = path.read_text()
        for hunk in diff.split("@@\n"):
            old, new = (
                "".join(line[1:] + "\n" for line in hunk.splitlines() if line[0] in sides)
                for sides in (" -", " +")
            )
            assert text.count(old) == 1, f"{path} does not have this once:\n{old}\n{text}"
            text = text.replace(old, new)
        if "PASTE-THE-SHA-256" in text:
            (sha256,) = re.findall(r'sha256="([0-9a-f]{64})"', self.outputs[-1])
            text = text.replace("PASTE-THE-SHA-256", sha256)
            (accuracy,) = re.findall(r"test accuracy (\d+\.\d+) %", self.outputs[-1])
            assert text.count("0.9812") == 1
            text = text.replace("0.9812", f"{float(accuracy) / 100:.4f}")
            assert float(accuracy) > 96
        path.write_text(text)


def test_the_tutorial_leads_where_it_says(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    reader = Reader(tmp_path / "empty", tmp_path / "installed")
    page = blocks(TUTORIAL)
    for block, after in itertools.zip_longest(page, page[1:]):
        reader.follow(block, after.text if after and after.language == "text" else "")
    assert (reader.folder / "my_digits.onnx").exists()


def test_the_tutorial_lists_the_files_of_a_new_plugin(tmp_path: Path) -> None:
    run(["mnistzoo", "new-plugin", "my-digits"], tmp_path)
    folder = tmp_path / "my-digits"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert set(column(TUTORIAL, "Begin")) == files


def column(page: Path, heading: str) -> list[str]:
    """Return the names in the first column of the table under a heading."""
    return names(row[0] for row in tables(page)[heading])


def test_the_tables_are_those_of_the_code() -> None:
    for page in reference.PAGES:
        text = page.read_text("utf-8")
        assert "<!-- begin" in text
        assert reference.current(page) == text, "run python scripts/reference.py"


def test_every_environment_variable_is_there_and_no_other() -> None:
    code = "".join(path.read_text("utf-8") for path in (ROOT / "mnistzoo").rglob("*.py"))
    variables = set(re.findall(r"\bMNISTZOO_[A-Z_]+", code))
    assert set(column(REFERENCE, "Environment variables")) == variables


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_are_right(page: Path) -> None:
    known = {
        context.command_path.removeprefix("mnistzoo "): context for context in reference.contexts()
    }
    typed = [words[1:] for words in commands(page) if words[0] == "mnistzoo"]
    for words in typed:
        length = 2 if " ".join(words[:2]) in known else 1
        context = known[" ".join(words[:length])]
        if "--help" not in words:  # raises what a user would see
            context.command.make_context(words[0], words[length:], parent=context.parent)
    prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for text in re.findall(r"`mnistzoo ([^`]+)`", prose):
        name, *rest = text.split()
        assert any(name in known_name.split() for known_name in known), text
        if name in known:
            options = {opt for option in reference.options(known[name]) for opt in option.opts}
            assert {word for word in rest if word.startswith("-")} <= options, text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mnistzoo_is_installed_from_where_it_is(page: Path) -> None:
    text = page.read_text("utf-8")
    for words in map(shlex.split, re.findall(r"\bpip install ([^`\n]+)", text)):
        for word in words:
            if named := re.match(r"mnistzoo(\[[\w,]+\])?(?![\w./-])", word):
                assert word == REQUIREMENT.format(named[1] or "")
    assert install_command() in text or page.name != "publishing.md"


def test_the_index_names_every_page() -> None:
    pages = {path.name for path in PAGES if path.parent.name == "docs" and path.name != "README.md"}
    assert {link for link in links(ROOT / "docs" / "README.md") if "/" not in link} == pages
