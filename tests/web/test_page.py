"""The drawing page in a browser, used as people use it."""

import base64
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import serious_findings, watched_page, width_to_scroll
from documents import ROOT
from drawing import DIGITS, SIDE, Stroke, serving, write_linear_model
from playwright.sync_api import Browser, Page, expect

from mnistzoo.data import read_idx

SEVEN = ROOT / "docs" / "seven.png"
MODEL = "random"  # tells what is drawn here


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_linear_model(tmp_path_factory.mktemp("model") / "linear.onnx"))


@pytest.fixture(scope="module")
def address(
    chromium: Browser, linear: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The page with two models."""
    good = write_linear_model(tmp_path_factory.mktemp("model") / f"{MODEL}.onnx", hidden=1_200)
    with serving(linear, str(good)) as (address, _):
        yield address


def opened(page: Page, address: str, *models: str) -> Page:
    """Open the page, choose these models alone, and wait for them."""
    page.goto(address)
    page.locator(".chip").first.wait_for()
    for box in page.locator(".chip input").all():
        box.uncheck()
    for model in models:
        page.get_by_role("checkbox", name=model).check()
    expect(page.get_by_text("being prepared")).to_have_count(0)
    settle(page)
    return page


def settle(page: Page) -> None:
    """Wait until the answer is that of what is on the sheet."""
    expect(page.locator("#reading")).to_have_attribute("aria-busy", "false")


def points(page: Page, stroke: Stroke) -> Stroke:
    """Return the points of a stroke in pixels of the window."""
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    return [(box["x"] + x * box["width"] / SIDE, box["y"] + y * box["height"] / SIDE)
            for x, y in stroke]  # fmt: skip


def draw(page: Page, strokes: list[Stroke]) -> None:
    for stroke in strokes:
        first, *others = points(page, stroke)
        page.mouse.move(*first)
        page.mouse.down()
        for x, y in others:
            page.mouse.move(x, y)
        page.mouse.up()


def touch(page: Page, strokes: list[Stroke]) -> None:
    device = page.context.new_cdp_session(page)

    def send(kind: str, *at: tuple[float, float]) -> None:
        places = [{"x": x, "y": y} for x, y in at]
        device.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    for stroke in strokes:
        first, *others = points(page, stroke)
        send("touchStart", first)
        for point in others:
            send("touchMove", point)
        send("touchEnd")


def expect_digit(page: Page, digit: int | str) -> None:
    settle(page)
    expect(page.locator("#digit")).to_have_text(str(digit))


def test_each_digit_is_read_as_it_is_drawn_by_mouse(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, MODEL)
        for digit, strokes in enumerate(DIGITS):
            draw(page, strokes)
            expect_digit(page, digit)
            expect(page.locator("#sentence")).to_contain_text(f"{MODEL} says {digit}")
            page.get_by_role("button", name="Clear").click()
            expect_digit(page, "")


def test_each_digit_is_read_as_it_is_drawn_by_touch(chromium: Browser, address: str) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True}
    with watched_page(chromium, **phone) as page:
        opened(page, address, MODEL)
        for digit, strokes in enumerate(DIGITS):
            touch(page, strokes)
            expect_digit(page, digit)
            assert width_to_scroll(page) == 0
            page.get_by_role("button", name="Clear").tap()
            expect_digit(page, "")


def test_drawing_needs_no_more_than_a_keyboard(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, "linear")
        page.locator("#canvas").focus()
        keys = page.keyboard
        keys.press(" ")
        expect(page.locator("#said")).to_have_text("pen down")
        for _ in range(20):
            keys.press("ArrowDown")
        keys.press(" ")
        expect_digit(page, 1)
        expect(page.locator("#said")).to_contain_text("linear says 1")  # to a screen reader
        keys.press("Backspace")
        expect_digit(page, "")
        expect(page.get_by_role("button", name="Undo")).to_be_disabled()


def test_undo_brings_back_what_was_there(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, "linear")
        seen = page.locator("#seen")

        def pixels() -> str:
            return str(seen.evaluate("canvas => canvas.toDataURL()"))

        blank = pixels()
        draw(page, DIGITS[1])
        expect_digit(page, 1)
        one = pixels()
        assert one != blank
        draw(page, DIGITS[0])
        settle(page)
        assert pixels() != one
        page.get_by_role("button", name="Undo").click()
        expect_digit(page, 1)
        assert pixels() == one
        page.get_by_role("button", name="Clear").click()
        expect_digit(page, "")
        assert pixels() == blank
        page.keyboard.press("Control+z")
        expect_digit(page, 1)


def test_doubts_what_is_no_digit_and_says_why(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, "linear")
        draw(page, [[(30, 140), (250, 145)]])
        expect_digit(page, "?")
        expect(page.locator("#sentence")).to_contain_text("wider than any digit is")
        page.get_by_role("button", name="Clear").click()
        page.mouse.click(*points(page, [(140, 140)])[0])  # a tap is a dot
        expect_digit(page, "?")


def paste(page: Page, path: Path) -> None:
    """Paste a picture as a browser hands it over; Playwright has no clipboard for files."""
    content = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(
        """async ([content, name]) => {
            const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, { type: "image/png" }));
            dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, cancelable: true }));
        }""",
        [content, path.name],
    )


def test_reads_a_picture_that_is_pasted_or_chosen(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, MODEL)
        paste(page, SEVEN)
        expect_digit(page, 7)
        draw(page, DIGITS[0])  # on a new sheet
        expect_digit(page, 0)
        page.locator("#file").set_input_files(SEVEN)
        expect_digit(page, 7)
        page.get_by_role("button", name="Undo").click()
        expect_digit(page, 0)


def microseconds(text: str) -> float:
    value, unit = text.split()
    return float(value) * {"µs": 1, "ms": 1000}[unit]


def test_models_answer_side_by_side_the_fastest_first(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, "linear", MODEL)
        draw(page, DIGITS[1])
        cards = page.locator("#readings li")
        expect(cards.locator(".bar.top")).to_have_count(2)
        times = cards.locator(".reading-time")
        for number in range(2):
            expect(times.nth(number)).not_to_be_empty()
        latencies = [microseconds(text) for text in times.all_inner_texts()]
        assert latencies == sorted(latencies)
        page.get_by_role("checkbox", name="linear").uncheck()
        expect(cards).to_have_count(1)
        expect(page.locator("#sentence")).to_contain_text(f"{MODEL} says 1")


def test_an_example_is_a_click_away(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, "linear")
        page.get_by_role("button", name="Example").click()
        expect(page.locator("#digit")).not_to_have_text("")


def test_labelled_drawings_become_a_test_set(
    chromium: Browser, address: str, tmp_path: Path
) -> None:
    with watched_page(chromium) as page:
        opened(page, address, "linear")
        expect(page.get_by_role("button", name="Download")).to_be_hidden()
        for digit in (1, 7):
            draw(page, DIGITS[digit])
            expect(page.get_by_role("button", name=str(digit), exact=True)).to_be_enabled()
            page.get_by_role("button", name=str(digit), exact=True).click()
            page.get_by_role("button", name="Clear").click()
        page.reload()  # they stay
        expect(page.locator("#kept")).to_contain_text("2 drawings")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        download.value.save_as(tmp_path / "drawings.zip")
        page.get_by_role("button", name="Forget").click()
        page.get_by_role("button", name="Really forget?").click()
        expect(page.locator("#kept")).to_be_hidden()
    with zipfile.ZipFile(tmp_path / "drawings.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    images = read_idx(tmp_path / "t10k-images-idx3-ubyte")
    labels = read_idx(tmp_path / "t10k-labels-idx1-ubyte")
    assert images.shape == (2, 28, 28)
    assert images.dtype == np.uint8
    assert labels.tolist() == [1, 7]
    assert all(each.max() == 255 for each in images)


def test_says_so_when_the_server_has_gone(chromium: Browser, address: str) -> None:
    context = chromium.new_context()  # unwatched: the browser itself reports what failed
    page = context.new_page()
    opened(page, address, "linear")
    context.set_offline(True)
    draw(page, DIGITS[1])
    expect(page.get_by_role("alert")).to_have_text(
        "The server does not answer. Is `mnistzoo draw` still running?"
    )
    expect_digit(page, "")
    context.set_offline(False)
    draw(page, DIGITS[1])
    expect_digit(page, 1)
    expect(page.get_by_role("alert")).to_be_hidden()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(chromium: Browser, address: str, scheme: str) -> None:
    with watched_page(chromium, color_scheme=scheme) as page:
        opened(page, address, "linear")
        dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (dark == "rgb(19, 20, 24)") == (scheme == "dark")
        assert serious_findings(page) == []
        draw(page, DIGITS[1])
        expect_digit(page, 1)
        assert serious_findings(page) == []


def test_a_model_with_a_hostile_name_is_only_a_name(
    chromium: Browser, linear: str, tmp_path: Path
) -> None:
    hostile = tmp_path / "<img src=x onerror=alert(1)>.onnx"
    hostile.write_bytes(Path(linear).read_bytes())
    with serving(str(hostile)) as (address, _), watched_page(chromium) as page:
        page.goto(address)
        draw(page, DIGITS[1])
        expect_digit(page, 1)
        expect(page.locator("#sentence")).to_contain_text("<img src=x onerror=alert(1)> says 1")
