"""One file of drawings and their images, which Python and JavaScript both keep to."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import watched_page
from drawing import SIDE, serving, write_linear_model
from drawing_vectors import image_of, vectors
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model: Path = write_linear_model(tmp_path_factory.mktemp("model") / "linear.onnx")
    with serving(str(model)) as (address, _):
        yield address


def test_python_makes_these_images_of_these_drawings() -> None:
    drawings, images = vectors()
    made = np.stack([image_of(drawing) for drawing in drawings])
    # By one, since processors add up in other orders.
    assert np.abs(made.astype(int) - images).max() <= 1, "see tests/drawing_vectors.py"


def test_javascript_makes_these_images_of_these_drawings(chromium: Browser, address: str) -> None:
    drawings, images = vectors()
    with watched_page(chromium) as page:
        page.goto(address)
        for drawing, image in zip(drawings, images, strict=True):
            made = page.evaluate(
                """async ([pixels, side]) => {
                    const { normalised } = await import("./normalise.js");
                    return [...normalised(Uint8Array.from(pixels), side, side).image];
                }""",
                [drawing.ravel().tolist(), SIDE],
            )
            assert made == image.ravel().tolist()
