"""The report as people see it: in a browser, without a network."""

import dataclasses
import html
import io
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_data
from browser import serious_findings, watched_page, width_to_scroll
from comparisons import TEN, answers, compared, row
from PIL import Image
from playwright.sync_api import Browser, Page

from mnistzoo import ModelSpec, Recipe
from mnistzoo.cli import main
from mnistzoo.comparison import Comparison
from mnistzoo.missing import MissingModuleError, install_command
from mnistzoo.report.html import write_html
from mnistzoo.report.text import comparison_notes
from mnistzoo.rows import Row

HOSTILE = "</title></script><script>alert(1)</script><img src=x onerror='alert(2)'>\"'&--> {{ 7 }}"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compared(TEN, 3, Row("broken", "mnistzoo-tests", "1.0", 10, error="no digit for you"))


@pytest.fixture(scope="module")
def report(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    comparison.save(path)
    return path


@pytest.fixture(scope="module")
def short_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    compared(["one", "two", "three"], 2).save(path)
    return path


def column(page: Page, number: int) -> list[str]:
    return page.locator(f"#table tbody tr > :nth-child({number})").all_inner_texts()


def test_the_report_of_ten_models_is_one_file_of_less_than_2_mb(report: Path) -> None:
    assert [path.name for path in report.parent.iterdir()] == [report.name]
    assert report.stat().st_size < 2_000_000


def test_it_shows_everything_offline(
    report: Path, comparison: Comparison, chromium: Browser
) -> None:
    with watched_page(chromium, offline=True) as page:
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(report.as_uri())
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
        assert column(page, 1) == [row.name for row in comparison.rows]
        assert page.locator("#cost figure svg").count() == 3
        assert page.locator("#differences figure svg").count() == 1
        assert page.locator("#differences tbody tr").count() == 45
        for number in range(10):
            figures = page.locator(f"#model-{number} figure")
            captions = figures.locator("figcaption").all_inner_texts()
            assert [caption.split()[0] for caption in captions] == [
                "Confusion",
                "Reliability",
                "Class",
                "Learning",
            ]
        assert "no digit for you" in page.locator("#model-10").inner_text()
        loaded = "[...document.images].every(image => image.naturalWidth === 28)"
        assert page.evaluate(loaded) is True
        provenance = page.locator("#provenance").inner_text()
        assert f"{2:064x}" in provenance
        assert all(sha256 in provenance for sha256 in comparison.dataset["checksums"].values())
        assert "mnistzoo compare broken convnet" in provenance
        assert "--train --recipe default --seeds 3 --dataset mnist-10k" in provenance


def test_the_gallery_has_the_true_digit_and_each_answer(
    report: Path, comparison: Comparison, chromium: Browser
) -> None:
    assert comparison.gallery is not None
    missed = comparison.gallery["missed_by_all"]
    index = missed["shown"][0]
    image = comparison.gallery["images"][str(index)]
    with watched_page(chromium) as page:
        page.goto(report.as_uri())
        gallery = page.locator("#gallery")
        assert f"{missed['count']} test images that no model recognises" in gallery.inner_text()
        card = gallery.locator("li").first
        assert f"true {image['label']}" in card.inner_text()
        answers = [cells.split() for cells in card.locator("tr").all_inner_texts()]
        assert [(name, int(digit)) for name, digit, *_ in answers] == [
            (name, digit) for name, (digit, _) in image["answers"].items()
        ]


def test_a_click_on_a_heading_sorts_the_table(report: Path, chromium: Browser) -> None:
    with watched_page(chromium) as page:
        page.goto(report.as_uri())
        before = column(page, 1)
        heading = page.get_by_role("button", name="accuracy %")
        heading.click()
        assert column(page, 1) == ["linear", *before[8::-1], "broken"]
        assert page.locator("#table th[aria-sort]").inner_text().startswith("accuracy")
        page.get_by_role("button", name="parameters").press("Enter")
        params = [int(text.replace(",", "")) for text in column(page, 4)]
        assert params == sorted(params)
        page.get_by_role("button", name="model").press("Enter")
        assert column(page, 1) == sorted(before)


def test_it_fits_a_phone(report: Path, chromium: Browser) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    with watched_page(chromium, **phone) as page:
        page.goto(report.as_uri())
        assert width_to_scroll(page) <= 0
        plot = page.locator("#cost svg").first.bounding_box()
        assert plot is not None and 280 < plot["width"] < 360


def edge(page: Page, selector: str) -> float:
    """Return how bright the right edge of a box is, from 0 to 1, where no letter stands."""
    with Image.open(io.BytesIO(page.locator(selector).screenshot())) as image:
        width, height = image.size
        column = np.asarray(image.convert("L").crop((width - 3, 0, width, height))) / 255
    return float(np.median(column))


@pytest.mark.parametrize("selector", ["#table .scroll", "#differences .pairs", ".matrix"])
def test_an_edge_behind_which_there_is_more_is_dark(
    selector: str, report: Path, chromium: Browser
) -> None:
    with watched_page(chromium, viewport={"width": 320, "height": 740}) as page:
        page.goto(report.as_uri())
        assert edge(page, selector) < 0.9
        page.locator(selector).evaluate("box => { box.scrollLeft = 10_000 }")
        assert edge(page, selector) > 0.99


def test_names_stay_in_sight_while_the_rest_of_a_table_scrolls(
    report: Path, chromium: Browser
) -> None:
    with watched_page(chromium, viewport={"width": 360, "height": 740}) as page:
        page.goto(report.as_uri())
        table = page.locator("#table .scroll")
        table.scroll_into_view_if_needed()
        table.evaluate("box => { box.scrollLeft = 10_000 }")
        box = table.bounding_box()
        assert box is not None
        for heading in (page.locator("#table thead th"), page.locator("#table tbody th")):
            name = heading.first.bounding_box()
            assert name is not None
            assert name["x"] == box["x"] and name["width"] < box["width"] / 2
            # No sign of another column lies above it.
            seen = page.evaluate(
                """([left, y]) => [...Array(30).keys()].map(
                    i => document.elementFromPoint(left + 4 * i, y).closest("th, td").cellIndex
                )""",
                [box["x"], name["y"] + name["height"] - 12],
            )
            assert set(seen) == {0}


def test_a_phone_shows_p_values_and_a_matrix_that_can_be_read(
    report: Path, chromium: Browser
) -> None:
    with watched_page(chromium, viewport={"width": 360, "height": 740}) as page:
        page.goto(report.as_uri())
        heading = page.locator("#differences").get_by_role("button", name=re.compile("^p ↕"))
        place = heading.bounding_box()
        assert place is not None and place["x"] + place["width"] < 344
        size = "text => text.ownerSVGElement.getScreenCTM().a * parseFloat(text.style.fontSize)"
        sizes = page.locator(".matrix svg text").evaluate_all(f"all => all.map({size})")
        assert min(sizes) > 8


def test_the_table_with_all_its_usual_columns_fits_a_laptop(
    tmp_path: Path, chromium: Browser
) -> None:
    rows = []
    for number in range(13):
        found = row(number, f"model_of_test_{number}", params=2_345_678)
        assert found.measurement is not None
        measurement = dataclasses.replace(
            found.measurement,
            buffers=5440,
            multiply_adds=222_804_720,
            runtime="mnistzoo_models",
            latency_256_us=999_999.0,
        )
        rows.append(dataclasses.replace(found, measurement=measurement))
    compared([], 1, *rows).save(tmp_path / "report.html")
    with watched_page(chromium, viewport={"width": 1280, "height": 800}) as page:
        page.goto((tmp_path / "report.html").as_uri())
        assert page.locator("#table th").filter(has_text="buffers").count() == 1
        hidden = page.locator("#table .scroll").evaluate("box => box.scrollWidth - box.clientWidth")
        assert hidden == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_people_with_a_screen_reader_or_weak_eyes_can_use_it(
    scheme: str, short_report: Path, chromium: Browser
) -> None:
    with watched_page(chromium, color_scheme=scheme) as page:
        page.goto(short_report.as_uri())
        assert serious_findings(page) == []


def brightness(page: Page, script: str) -> float:
    colour: str = page.evaluate(f"(() => {{ {script} }})()")
    channels = [int(each) for each in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(channels) / 3


def test_dark_mode_and_paper_change_the_plots_too(report: Path, chromium: Browser) -> None:
    page_colour = "return getComputedStyle(document.body).backgroundColor"
    text_colour = "return getComputedStyle(document.querySelector('#cost svg text')).fill"
    with watched_page(chromium, color_scheme="dark") as page:
        page.goto(report.as_uri())
        assert brightness(page, page_colour) < 40
        assert brightness(page, text_colour) > 200
        page.emulate_media(media="print")
        assert brightness(page, page_colour) == 255
        assert brightness(page, text_colour) < 40
        assert page.pdf(format="A4").startswith(b"%PDF")


def test_on_paper_headings_stand_on_the_page_of_their_plots(
    report: Path, chromium: Browser
) -> None:
    # The outline of a PDF says on which page each heading stands. Here headings, captions and plots
    # without a caption are headings, called after their part of the page.
    as_headings = """() => {
        for (const part of document.querySelectorAll("#cost, .model")) {
            for (const each of part.querySelectorAll("h2, h3, figcaption, #cost figure")) {
                each.role = "heading";
                each.ariaLevel = "4";
                const texts = [each, ...each.querySelectorAll("text")];
                for (const text of texts.slice(1)) text.textContent = "";
                texts.at(-1).textContent = part.id;
            }
        }
    }"""
    with watched_page(chromium) as page:
        page.goto(report.as_uri())
        page.evaluate(as_headings)
        pdf = page.pdf(format="A4", outline=True, tagged=True)
    found = re.findall(rb"/Title \((cost|model-\d+)\)\n/Dest \[(\d+) 0 R ", pdf)
    pages = {part: [page for name, page in found if name == part] for part, _ in found}
    assert [len(each) for each in pages.values()] == [4, *[5] * 10, 1]
    assert [part for part, each in pages.items() if len(set(each)) > 1] == []


def test_hostile_texts_are_shown_and_not_run(tmp_path: Path, chromium: Browser) -> None:
    hostile = {"provider": HOSTILE, "version": HOSTILE, "summary": HOSTILE, "error": HOSTILE}
    named = row(1, f"<script>alert(3)</script>{HOSTILE}", 2, **hostile)
    compared(["one"], 2, named).save(tmp_path / "hostile.html")
    with watched_page(chromium) as page:  # which fails on a dialog, and on a refused script
        page.goto((tmp_path / "hostile.html").as_uri())
        assert page.locator("script").count() == 1
        assert page.locator("img[src=x]").count() == 0
        assert HOSTILE in page.locator("#models").inner_text()
        assert page.title().startswith("2 models")
        assert "<script>" in "".join(page.locator("#cost svg text").all_text_contents())
        page.get_by_role("button", name="model").click()


def test_the_provenance_names_the_settings_that_are_not_the_defaults(tmp_path: Path) -> None:
    recipe = Recipe(epochs=1, batch_size=128, optimizer="sgd", learning_rate=0.4)
    recipes = {
        # Written before a recipe without a teacher had None for what belongs to one.
        "plain": recipe.replace(seed=7).flat() | {"teacher_weight": 0.5, "temperature": 2.0},
        "changed": recipe.replace(threads=None, rotation=8.0).flat(),
        "taught": recipe.replace(teacher="plain", temperature=4.0).flat(),
    }
    told = {"recipe_name": "default", "dataset": "mnist", "seed": 7, "epochs_completed": 1}
    rows = []
    for number, (name, settings) in enumerate(recipes.items()):
        found = row(number, name)
        assert found.measurement is not None
        measurement = dataclasses.replace(
            found.measurement, provenance={**told, "recipe": settings}
        )
        rows.append(dataclasses.replace(found, measurement=measurement))
    compared([], 1, *rows).save(tmp_path / "report.html")
    shown = re.findall("default <code>(.*?)</code>", (tmp_path / "report.html").read_text())
    always = "epochs=1 batch_size=128 optimizer=sgd learning_rate=0.4"
    assert shown == [
        always,
        f"{always} threads=none rotation=8",
        f"{always} teacher=plain temperature=4",
    ]


def test_a_single_model_has_a_report_of_its_own(tmp_path: Path, chromium: Browser) -> None:
    compared(["only"]).save(tmp_path / "only.html")
    with watched_page(chromium) as page:
        page.goto((tmp_path / "only.html").as_uri())
        assert page.locator("h1").inner_text() == "only"
        assert page.locator("#cost, #differences").count() == 0
        assert page.locator("#model-0 figure").count() == 4
        assert "Missed by all" not in page.locator("#gallery").inner_text()


def test_where_all_but_one_failed_no_image_is_missed_by_all(tmp_path: Path) -> None:
    broken = Row("broken", "mnistzoo-tests", "1.0", 10, error="no weights")
    compared(["only"], 1, broken).save(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "The most confident errors" in page and "Missed by all" not in page
    compared(["one", "two"], 1, broken).save(tmp_path / "report.html")
    assert "Missed by all" in (tmp_path / "report.html").read_text()


def test_a_report_that_cannot_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    facts = compared(["one"]).to_dict()
    del facts["models"][0]["evaluation"]["confusion"]
    with pytest.raises(KeyError):
        write_html(facts, tmp_path / "report.html")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_without_the_extra_one_sentence_says_what_to_install(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingModuleError) as caught:
        compared(["one"]).save(tmp_path / "report.html")
    assert str(caught.value) == (
        f"{tmp_path}/report.html: a report in HTML needs {module}; "
        f"`{install_command('report')}` installs it"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["compare", "evaluate", "evaluate --weights"])
def test_the_commands_write_it(
    line: str,
    register: Callable[..., None],
    linear_spec: Callable[..., ModelSpec],
    linear_weights: Path,
    linear_sha256: str,
    tmp_path: Path,
) -> None:
    register(linear_spec("linear"))
    command, *with_weights = line.split()
    again = [command, "linear", *(each for flag in with_weights for each in (flag, linear_weights))]
    again += ["--dataset", "mnist-10k"]
    path = tmp_path / "report.html"
    with pytest.raises(SystemExit) as caught:
        main([*map(str, again), "--device", "cpu", "--html", str(path)])
    assert caught.value.code == 0
    page = path.read_text()
    assert f"mnistzoo {shlex.join(map(str, again))}" in page
    assert f"<code>{linear_sha256}</code>" in page
    assert "11.35" in page
    assert ("1 image" in page) == (command == "compare")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]


def test_the_command_takes_a_folder_of_ones_own_which_is_not_called_official(
    register: Callable[..., None],
    linear_spec: Callable[..., ModelSpec],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(linear_spec("linear"))
    folder = tmp_path / "my o'wn"
    folder.mkdir()
    for name, content in small_data.plain(small_data.arrays(classes=10)).items():
        (folder / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    words = ["compare", "linear", "--dataset", "my o'wn", "--device", "cpu", "--html", "first.html"]
    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 0
        page = Path(words[-1]).read_text()
        assert "on the 52 test images of my o&#39;wn (unverified)" in page
        assert "official" not in page
        found = re.search("<pre><code>(.*?)</code></pre>", page)
        assert found is not None
        _, *words = shlex.split(html.unescape(found[1]))
    assert words[-1] == "report.html"


def file_row(number: int, runtime: str = "ONNX Runtime") -> Row:
    found = row(number, f"{number}.onnx", provider="", version="", summary="")
    assert found.measurement is not None
    return dataclasses.replace(
        found, measurement=dataclasses.replace(found.measurement, runtime=runtime)
    )


def test_files_are_called_files_and_have_their_own_runtime(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    comparison = compared([], 1, file_row(0), file_row(1))
    comparison.save(path)
    page, notes = path.read_text(), "\n".join(comparison_notes(comparison))
    assert "Accuracy of the files named on the 10,000 official test images" in page
    assert "accuracy of the files named on the 10,000 official test images" in notes
    assert "<dt>From</dt>" not in page
    assert "PyTorch" not in page and "PyTorch" not in notes
    assert page.count(">ONNX Runtime</td>") == 2
    comparison = compared(["one"], 1, file_row(1))
    comparison.save(path)
    page, notes = path.read_text(), "\n".join(comparison_notes(comparison))
    assert "Accuracy of the files named and the shipped weights on" in page
    assert "accuracy of the files named and the shipped weights, trained on" in notes
    assert page.count("<dt>From</dt>") == 1
    assert page.count(">ONNX Runtime</td>") == page.count(">PyTorch</td>") == 1
    assert "one thread, on cpu" in page and "; PyTorch is eager" in page


def test_buffers_and_random_numbers_are_shown_where_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    first = row(0, "first")
    assert first.measurement is not None
    several = [answers(seed, 1.0) for seed in range(3)]
    measurement = dataclasses.replace(
        first.measurement, buffers=1234, seeds=None, evaluations=several
    )
    compared([], 1, dataclasses.replace(first, measurement=measurement), row(1, "plain")).save(path)
    page = path.read_text()
    assert ">buffers</th>" in page and ">1,234</td>" in page
    assert "first draws random numbers: its accuracy is the mean of 3 evaluations" in page
    compared(["first", "plain"]).save(path)
    assert ">buffers</th>" not in path.read_text()
    assert "random numbers" not in path.read_text()
