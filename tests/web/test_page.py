"""The drawing page in a browser, used as people use it."""

import base64
import io
import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import serious_findings, watched_page, width_to_scroll
from documents import ROOT
from drawing import (
    DIGITS,
    Stroke,
    draw,
    opened,
    points,
    serving,
    settle,
    write_linear_model,
)
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect

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
            expect(page.locator("#delay")).to_have_text(re.compile(r"answered in [\d.]+\s(ms|s)"))
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


def hand_over(page: Page, event: str, path: Path) -> None:
    """Paste or drop a picture as a browser hands it over; Playwright has no way for files.

    Args:
        event: ``"paste"`` or ``"drop"``, which a browser sends where "dragover" was prevented.
        path: of the picture.
    """
    content = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(
        """async ([content, name, kind]) => {
            const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, { type: "image/png" }));
            const sheet = document.getElementById("canvas");
            const send = (Kind, kind, facts) =>
                sheet.dispatchEvent(new Kind(kind, { ...facts, bubbles: true, cancelable: true }));
            if (kind === "paste") send(ClipboardEvent, kind, { clipboardData: data });
            else if (!send(DragEvent, "dragover", { dataTransfer: data }))
                send(DragEvent, kind, { dataTransfer: data });
        }""",
        [content, path.name, event],
    )


def test_reads_a_picture_that_is_pasted_dropped_or_chosen(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, MODEL)
        for event in ("paste", "drop"):
            hand_over(page, event, SEVEN)
            expect_digit(page, 7)
            draw(page, DIGITS[0])  # on a new sheet
            expect_digit(page, 0)
        page.locator("#file").set_input_files(SEVEN)
        expect_digit(page, 7)
        page.get_by_role("button", name="Undo").click()
        expect_digit(page, 0)


def test_the_pen_is_as_wide_as_it_is_set(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, "linear")
        inked = []
        for width in ("8", "40"):
            page.get_by_role("slider", name="Pen").fill(width)
            with page.expect_request("**/api/predict**") as asked:
                page.mouse.click(*points(page, [(140, 140)])[0])  # a tap is a dot
            settle(page)
            body = asked.value.post_data_buffer
            assert body is not None
            inked.append((np.asarray(Image.open(io.BytesIO(body))) < 128).sum())
            page.get_by_role("button", name="Clear").click()
        assert inked == pytest.approx([math.pi * 4**2, math.pi * 20**2], rel=0.1)


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


def test_the_sentence_names_the_models_in_the_order_of_their_cards(
    chromium: Browser, address: str
) -> None:
    asked = []

    def answer(route: Route) -> None:
        """Say that one model takes its time for the third drawing, the slower one by its median."""
        asked.append(route)
        said = route.fetch().json()
        for prediction in said["predictions"]:
            quick = prediction["model"] == MODEL
            prediction["latency_us"] = 100 if quick and len(asked) < 3 else 900 if quick else 200
            prediction |= {"text": "1", "digit": 1, "doubt": None, "doubts": [None]}
        said["predictions"].sort(key=lambda each: each["latency_us"])
        route.fulfill(json=said)

    with watched_page(chromium) as page:
        opened(page, address, "linear", MODEL)
        page.route("**/api/predict**", answer)
        page.locator("#canvas").focus()
        for key in (" ", "ArrowDown", "ArrowDown"):
            page.keyboard.press(key)
            settle(page)
        assert len(asked) == 3
        expect(page.locator(".reading-name")).to_have_text([MODEL, "linear"])
        expect(page.locator("#sentence")).to_contain_text(f"{MODEL} and linear say 1")


def test_the_bars_stand_side_by_side_whatever_is_said_above_them(
    chromium: Browser, address: str
) -> None:
    def answer(route: Route) -> None:
        said = route.fetch().json()
        said["predictions"][0]["doubt"] = "it fills the edges of its box, as no digit does"
        said["predictions"][1]["doubt"] = None
        route.fulfill(json=said)

    with watched_page(chromium) as page:
        opened(page, address, "linear", MODEL)
        page.route("**/api/predict**", answer)
        draw(page, DIGITS[1])
        expect(page.locator(".bar.top")).to_have_count(2)
        settle(page)
        heights = [
            each.evaluate("e => e.offsetHeight") for each in page.locator(".reading-says").all()
        ]
        assert heights[0] != heights[1]
        tops = page.locator(".bars").evaluate_all("all => all.map((each) => each.offsetTop)")
        assert tops[0] == tops[1]


def said_of(*models: str, **facts: Any) -> list[dict[str, Any]]:
    """Return predictions of a digit 7 by these models, sure and without a doubt but for facts."""
    return [
        {"model": each, "digit": 7, "text": "7", "confidence": 0.98, "runner_up": 1, "doubt": None}
        | {"doubts": [None]}
        | facts
        for each in models
    ]


ELEVEN = [f"model{number}" for number in range(11)]
UNSURE = "the model is unsure"


@pytest.mark.parametrize(
    ("predictions", "digit", "sentence"),
    [
        (said_of("a"), "7", "a says 7, 98.0 % sure."),
        (said_of("a", "b", "c"), "7", "a, b and c say 7, each at least 98.0 % sure."),
        (said_of(*ELEVEN), "7", "11 models say 7, each at least 98.0 % sure."),
        (
            said_of("a") + said_of("b", text="1"),
            "?",
            "The models disagree: a says 7, b says 1.",
        ),
        (
            said_of("a", text="1") + said_of(*ELEVEN[1:]),
            "?",
            "10 of 11 models say 7; a says 1.",
        ),
        (
            said_of(*ELEVEN[:8]) + said_of("a", "b", text="1") + said_of("c", text="2"),
            "?",
            "8 of 11 models say 7; a and b say 1; c says 2.",
        ),
        (
            said_of(*ELEVEN[:6]) + said_of(*ELEVEN[6:10], text="1") + said_of("a", text="2"),
            "?",
            "6 of 11 models say 7; 4 models say 1; 1 model says 2.",
        ),
        (said_of("a", doubt=UNSURE) + said_of("b"), "?", "a is unsure: perhaps 7, or 1."),
        (
            said_of(*ELEVEN[:5], doubt=UNSURE) + said_of(*ELEVEN[5:]),
            "?",
            "5 of 11 models are unsure: perhaps 7, or 1.",
        ),
        (
            said_of(*ELEVEN, text="77", doubt="there are 2", doubts=[None, None]),
            "77",
            "2 digits, read left to right by 11 models as 77.",
        ),
        (
            said_of("a", text="77", doubt="there are 2", doubts=[None, UNSURE]),
            "?",
            "2 digits, read left to right by a as 77, but a is unsure.",
        ),
    ],
)
def test_says_in_one_short_sentence_what_the_models_say(
    chromium: Browser, address: str, predictions: list[dict[str, Any]], digit: str, sentence: str
) -> None:
    with watched_page(chromium) as page:
        page.goto(address)
        said = page.evaluate(
            """async (said) => (await import("./readings.js")).verdict(said)""", predictions
        )
    assert said["digit"] == digit
    assert said["doubtful"] == (digit == "?")
    assert said["sentence"].replace("\N{NO-BREAK SPACE}", " ") == sentence


def test_an_example_is_a_click_away_and_is_not_kept(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, "linear")
        page.get_by_role("button", name="Example").click()
        expect(page.locator("#digit")).not_to_have_text("")
        labels = page.get_by_role("group", name="MNIST's own digits are not kept.")
        for button in labels.get_by_role("button").all():
            expect(button).to_be_disabled()
        draw(page, DIGITS[1])  # over it
        settle(page)
        expect(labels).to_be_visible()
        page.get_by_role("button", name="Clear").click()
        draw(page, DIGITS[1])
        expect(label(page, 1)).to_be_enabled()


def test_a_picture_of_several_digits_is_not_kept(
    chromium: Browser, address: str, tmp_path: Path
) -> None:
    seven = np.asarray(Image.open(SEVEN))
    Image.fromarray(np.hstack([seven, seven])).save(tmp_path / "77.png")
    with watched_page(chromium) as page:
        opened(page, address, MODEL)
        page.locator("#file").set_input_files(tmp_path / "77.png")
        expect(page.locator("#sentence")).to_contain_text("2 digits")
        expect(page.get_by_role("group", name="Only single digits are kept.")).to_be_visible()
        expect(label(page, 7)).to_be_disabled()


def label(page: Page, digit: int) -> Locator:
    return page.locator("#labels").get_by_role("button", name=str(digit), exact=True)


def test_a_drawing_is_kept_once_under_its_last_label(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        opened(page, address, "linear")
        draw(page, DIGITS[1])
        settle(page)
        for digit in (7, 1):
            label(page, digit).click()
            expect(page.locator("#labels [aria-pressed=true]")).to_have_text([str(digit)])
            expect(page.locator("#kept")).to_contain_text("1 drawing is kept")
            expect(page.locator("#said")).to_have_text(f"kept as {digit}")
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#labels [aria-pressed=true]")).to_have_count(0)
        page.get_by_role("button", name="Undo").click()  # the same drawing again
        expect(page.locator("#labels [aria-pressed=true]")).to_have_text(["1"])
        label(page, 1).click()
        expect(page.locator("#labels [aria-pressed=true]")).to_have_count(0)
        expect(page.locator("#said")).to_have_text("no longer kept")
        expect(page.locator("#collection")).to_be_hidden()


def four_with_its_answer_held(page: Page, address: str) -> Route:
    """Draw a four; return the answer to its last stroke, which the page waits for."""
    held: list[Route] = []

    def hold_the_first(route: Route) -> None:  # the page asks one thing at a time
        if held:
            route.continue_()
        else:
            held.append(route)

    opened(page, address, "linear")
    draw(page, DIGITS[4][:1])
    settle(page)
    page.route("**/api/predict**", hold_the_first)
    with page.expect_request("**/api/predict**"):
        draw(page, DIGITS[4][1:])
    return held[0]


def test_what_is_kept_is_what_is_on_the_sheet_when_the_answer_is_slow(
    chromium: Browser, address: str
) -> None:
    with watched_page(chromium) as page:
        answer = four_with_its_answer_held(page, address)
        label(page, 4).click()  # before it is read whole
        answer.continue_()
        settle(page)
        expect(page.locator("#labels [aria-pressed=true]")).to_have_text(["4"])


def test_a_label_is_not_given_to_what_was_drawn_after_it(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        answer = four_with_its_answer_held(page, address)
        label(page, 4).click()
        page.get_by_role("button", name="Clear").click()
        draw(page, DIGITS[1])
        answer.continue_()
        settle(page)
        expect(page.locator("#labels button").first).to_be_enabled()
        expect(page.locator("#labels [aria-pressed=true]")).to_have_count(0)
        expect(page.locator("#kept")).to_be_hidden()


def test_what_this_page_did_not_write_is_no_drawing(chromium: Browser, address: str) -> None:
    with watched_page(chromium) as page:
        page.goto(address)
        for stored in ('[{"label": 3}]', '[{"label": 3, "image": "AAAA"}]', "{}", "none"):
            page.evaluate("stored => localStorage.setItem('mnistzoo.drawings', stored)", stored)
            page.reload()
            expect(page.locator(".chip").first).to_be_visible()
            expect(page.locator("#kept")).to_be_hidden()


def test_labelled_drawings_become_a_test_set(
    chromium: Browser, address: str, tmp_path: Path
) -> None:
    with watched_page(chromium) as page:
        opened(page, address, "linear")
        expect(page.get_by_role("button", name="Download")).to_be_hidden()
        for digit in (1, 7):
            draw(page, DIGITS[digit])
            label(page, digit).click()
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
