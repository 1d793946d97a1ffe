"""The page as plain files: its JavaScript reads drawings as Python does."""

import base64
import functools
import http.server
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import watched_page
from documents import ROOT
from drawing import SIDE, write_linear_model
from drawing_vectors import drawings
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, expect
from processes import LIMIT

from mnistzoo import Predictor
from mnistzoo.prediction import Reader, read_by_all
from mnistzoo.web.models import offered
from mnistzoo.web.site import SiteError, write_site

RUNTIME = ROOT / "node_modules" / "onnxruntime-web" / "dist"
DRAWINGS = 200
AT_ONCE = 20

needs_runtime = pytest.mark.skipif(
    not RUNTIME.exists(),
    reason="onnxruntime-web is not there; `npm install --no-save onnxruntime-web` installs it",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Such that it makes a difference which temperature and which threshold the page takes.
    return write_linear_model(
        tmp_path_factory.mktemp("model") / "linear.onnx",
        metadata={"exported_with": "mnistzoo", "temperature": "0.6", "threshold": "0.9"},
    )


@pytest.fixture(scope="module")
def site(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a static host with the page."""
    folder = tmp_path_factory.mktemp("host") / "site"
    write_site(folder, offered([str(model)]), str(RUNTIME))
    with hosting(folder) as address:
        yield address


class hosting:  # noqa: N801 (a context manager)
    """Serve a folder as a static host does."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(_Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(LIMIT)  # one that hangs ends with pytest
        self._server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@needs_runtime
def test_javascript_and_python_see_the_same_and_say_the_same(
    chromium: Browser, site: str, model: Path
) -> None:
    sheets = drawings(DRAWINGS)
    with watched_page(chromium) as page:
        open_site(page, site)
        said = [
            each
            for start in range(0, DRAWINGS, AT_ONCE)
            for each in in_browser(page, sheets[start : start + AT_ONCE])
        ]
    reader = Predictor(model).reader
    doubts, plain = set(), []
    for sheet, found in zip(sheets, said, strict=True):
        (expected,) = read_by_all(sheet, [reader], drawing=True)
        one = expected.one
        difference = np.abs(np.array(found["image"]) - one.image.ravel().astype(int))
        assert difference.max() <= 1
        assert found["box"] == list(one.box)
        (prediction,) = found["predictions"]
        assert prediction["digit"] == one.digit
        assert prediction["doubt"] == one.doubt
        assert prediction["probabilities"] == pytest.approx(one.probabilities, abs=0.01)
        doubts.add(one.doubt)
        (other,) = read_by_all(sheet, [Reader(reader.logits)], drawing=True)
        plain.append(other.one.doubt == one.doubt)
    assert 0 < sum(plain) < len(plain)
    assert len(doubts) > 2  # the sheets are such that sentences are compared too


def in_browser(page: Page, sheets: list[NDArray[np.uint8]]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = page.evaluate(
        """async ([sheets, side]) => {
            const { readDrawing } = await import("./backend.js");
            const answers = [];
            for (const sheet of sheets) {
                const pixels = Uint8Array.from(atob(sheet), (character) => character.charCodeAt(0));
                const answer = await readDrawing(pixels, side, ["linear"]);
                answers.push({ ...answer, image: [...answer.image] });
            }
            return answers;
        }""",
        [[base64.b64encode(sheet.tobytes()).decode() for sheet in sheets], SIDE],
    )
    return answers


def open_site(page: Page, site: str) -> None:
    page.goto(site)
    expect(page.get_by_role("checkbox", name="linear")).to_be_checked()
    expect(page.get_by_text("being prepared")).to_have_count(0, timeout=120_000)


@needs_runtime
def test_a_static_page_reads_drawings_without_a_server(chromium: Browser, site: str) -> None:
    with watched_page(chromium) as page:
        open_site(page, site)
        page.context.set_offline(True)
        canvas = page.locator("#canvas")
        canvas.focus()
        for key in (" ", *["ArrowDown"] * 20, " "):
            page.keyboard.press(key)
        expect(page.locator("#digit")).to_have_text("1")
        expect(page.get_by_role("button", name="Picture")).to_be_hidden()
        expect(page.locator("footer")).to_contain_text("reads drawings only")
        page.context.set_offline(False)


@needs_runtime
def test_a_runtime_that_was_changed_does_not_run(
    chromium: Browser, model: Path, tmp_path: Path
) -> None:
    write_site(tmp_path / "site", offered([str(model)]), str(RUNTIME))
    with (tmp_path / "site" / "runtime" / "ort.wasm.bundle.min.mjs").open("a") as file:
        file.write("\n")
    context = chromium.new_context()  # unwatched: the browser itself reports the hash
    page = context.new_page()
    with hosting(tmp_path / "site") as address:
        page.goto(address)
        expect(page.locator("#readings")).to_contain_text(
            "is not the file that this page was made with", timeout=60_000
        )
    context.close()


def test_the_runtime_comes_by_default_from_a_pinned_address(
    run_cli: Callable[..., subprocess.CompletedProcess[str]], model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    done = run_cli("draw", str(model), "--static", str(folder))
    assert (done.returncode, done.stdout) == (0, f"{folder}: the page with linear\n")
    page = (folder / "index.html").read_text("utf-8")
    assert "connect-src 'self' https://cdn.jsdelivr.net/npm/onnxruntime-web@" in page
    facts = (folder / "models.json").read_text("utf-8")
    assert facts.count("https://cdn.jsdelivr.net/npm/onnxruntime-web@") == 2
    assert facts.count("sha384-") == 3
    again = run_cli("draw", str(model), "--static", str(folder))
    assert again.returncode == 1 and "is not empty; name a new folder" in again.stderr
    lost = run_cli("draw", str(model), "--runtime", "x")
    assert lost.returncode == 2 and "--runtime needs --static" in lost.stderr


@pytest.mark.parametrize("runtime", ["https://example.org/ort/dist", "http://127.0.0.1:8000/dist"])
def test_the_page_may_load_the_runtime_that_it_names(
    runtime: str, model: Path, tmp_path: Path
) -> None:
    for number, written in enumerate((runtime, f"{runtime}/")):
        folder = tmp_path / str(number)
        write_site(folder, offered([str(model)]), written)
        assert f"connect-src 'self' {runtime}/;" in (folder / "index.html").read_text("utf-8")
        found = json.loads((folder / "models.json").read_text("utf-8"))["runtime"]
        assert found["module"]["address"] == f"{runtime}/ort.wasm.bundle.min.mjs"
        assert found["wasm"]["address"] == f"{runtime}/ort-wasm-simd-threaded.wasm"


def test_a_runtime_that_comes_unencrypted_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"http://example\.org/dist is not encrypted"):
        write_site(tmp_path / "site", offered([str(model)]), "http://example.org/dist/")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_page_that_cannot_be_written(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"holds no ort\.wasm\.bundle\.min\.mjs"):
        write_site(tmp_path / "site", offered([str(model)]), str(tmp_path))
    assert list(tmp_path.iterdir()) == []
