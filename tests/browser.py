"""Debian's Chromium, driven by Playwright, and what every page must pass in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, Playwright, sync_playwright

_CHROMIUM = Path("/usr/bin/chromium")
_AXE = Path(__file__).parent.parent / "node_modules/axe-core/axe.min.js"
_TIMEOUT_MS = 20_000  # of every wait


# Of a module, not of the session: while it lives, no other test can call asyncio.run().
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser; :func:`watched_page` opens a page in it."""
    if not _CHROMIUM.exists():
        pytest.skip(f"there is no {_CHROMIUM}; `apt-get install chromium` installs it")
    with sync_playwright() as playwright, launched(playwright) as browser:
        yield browser


def launched(playwright: Playwright) -> Browser:
    """Return a new browser, which ends with a ``with`` block."""
    return playwright.chromium.launch(
        executable_path=_CHROMIUM,
        args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
    )


@contextmanager
def watched_page(chromium: Browser, **options: Any) -> Iterator[Page]:
    """Open a page that must raise no error, say nothing on the console and pop up no dialog.

    Args:
        options: of the context, such as ``offline``, ``color_scheme``, ``has_touch``.
    """
    wrong: list[str] = []

    def dismissed(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    context = chromium.new_context(**options)
    context.set_default_timeout(_TIMEOUT_MS)
    page = context.new_page()
    page.on("console", lambda said: wrong.append(f"console: {said.type}: {said.text}"))
    page.on("pageerror", lambda error: wrong.append(f"uncaught: {error}"))
    page.on("dialog", dismissed)
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


def serious_findings(page: Page) -> list[str]:
    """Return what axe-core finds that keeps people from using the page, serious or critical."""
    if not _AXE.exists():
        pytest.skip("axe-core is not there; `npm install --no-save axe-core` installs it")
    # By the debugger, which a page's content security policy does not stop.
    page.evaluate(_AXE.read_text("utf-8"))
    found = page.evaluate("axe.run()")
    return [
        f"{each['id']}: {each['help']}: {each['nodes'][0]['html']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def width_to_scroll(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    width: int = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return width
