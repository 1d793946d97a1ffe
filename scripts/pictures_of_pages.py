"""Photograph the pages for docs/: draw.png, draw-phone.png and, of a report, report.png.

Usage: python scripts/pictures_of_pages.py [REPORT.html]

The drawing page is served with all models that are installed; the first time, those on the pictures
are exported. REPORT.html is what `mnistzoo compare --html REPORT.html` wrote; without it
docs/report.png stays as it is. Needs Chromium and the extra `test`. A picture has 64 colours,
which the pages' flat ones hardly exceed, and so a third of the bytes. In draw.png stands, as JSON
in a text chunk, which models were on offer, so that a test can tell whether it is current.
"""

import argparse
import io
import json
import sys
from pathlib import Path

from first_party import first_party
from PIL import Image, PngImagePlugin
from playwright.sync_api import Browser, Page, expect, sync_playwright

from mnistzoo.web.models import offered

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from browser import launched  # noqa: E402
from drawing import DIGITS, draw, opened, serving, settle  # noqa: E402

DOCS = ROOT / "docs"
DRAW = DOCS / "draw.png"
CHUNK = "mnistzoo"  # the text chunk's keyword
MINUTES_MS = 240_000  # in which models are exported
COLOURS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("report", nargs="?", type=Path, metavar="REPORT.html")
    report = parser.parse_args().report
    with sync_playwright() as playwright, launched(playwright) as browser:
        with serving() as (address, _):
            draw_page(browser, address)
            draw_page_on_a_phone(browser, address)
        if report is not None:
            report_page(browser, report)


def draw_page(browser: Browser, address: str) -> None:
    """Photograph the page as three models read a five."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    opened(page, address, "tiny7k", "lenet5", "mnistconvnet", within_ms=MINUTES_MS)
    write(page, 5)
    page.mouse.move(0, 0)
    save(page.screenshot(full_page=True), DRAW, json.dumps(on_offer()))
    page.close()


def draw_page_on_a_phone(browser: Browser, address: str) -> None:
    """Photograph the upper part of the page on a phone, in the dark."""
    page = browser.new_page(
        viewport={"width": 360, "height": 840}, device_scale_factor=1.5, color_scheme="dark"
    )
    opened(page, address, "lenet5", "mnistnet", within_ms=MINUTES_MS)
    write(page, 3)
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    save(page.screenshot(), DOCS / "draw-phone.png")
    page.close()


def report_page(browser: Browser, report: Path) -> None:
    """Photograph the top of a report."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.goto(report.absolute().as_uri())
    save(page.screenshot(), DOCS / "report.png")
    page.close()


def write(page: Page, digit: int) -> None:
    """Draw a digit, and wait until it is read."""
    draw(page, DIGITS[digit])
    expect(page.locator("#digit")).to_have_text(str(digit))
    settle(page)


def on_offer() -> dict[str, float | None]:
    """Return the accuracy of each model of this repository that the page offers."""
    ours = first_party()
    return {name: each.accuracy for name, each in offered([]).offers.items() if name in ours}


def save(screenshot: bytes, path: Path, told: str = "") -> None:
    """Write a screenshot, and what is to stand in its file."""
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    chunks = PngImagePlugin.PngInfo()
    if told:
        chunks.add_text(CHUNK, told)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True, pnginfo=chunks)
    print(f"wrote {path}, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
