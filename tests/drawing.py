"""What the tests of the drawing page share: a server, a small model, and a hand that draws."""

import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import processes
from onnx import TensorProto, helper, numpy_helper
from playwright.sync_api import Page, expect

from mnistzoo import load_dataset
from mnistzoo.inputs import as_input

Stroke = list[tuple[float, float]]  # points in pixels of the page's sheet
SIDE = 280
_LIMIT = 240  # seconds that a server lives at most


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Stroke:
    """Return part of an ellipse; angles in degrees, clockwise from the right."""
    count = 2 + int(abs(end - start) / 15)
    angles = [math.radians(start + (end - start) * i / (count - 1)) for i in range(count)]
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


DIGITS: list[list[Stroke]] = [
    [_arc(140, 140, 60, 90, -90, 275)],
    [[(150, 50), (140, 140), (132, 230)]],
    [[*_arc(140, 100, 55, 50, -170, 40), (90, 225), (205, 222)]],
    [[*_arc(135, 95, 50, 42, -150, 85), *_arc(135, 185, 58, 48, -85, 150)]],
    [[(105, 55), (90, 150), (200, 145)], [(180, 55), (165, 235)]],
    [[(195, 60), (110, 60), (102, 130), *_arc(135, 178, 58, 52, -115, 150)]],
    [[(170, 50), (110, 130), *_arc(140, 185, 48, 45, -150, 200)]],
    [[(80, 65), (205, 65), (155, 150), (130, 235)]],
    [[*_arc(140, 95, 42, 42, 90, 450), *_arc(140, 187, 52, 50, -90, 270)]],
    [[*_arc(140, 100, 45, 45, 0, 360), (183, 100), (172, 235)]],
]


@contextmanager
def serving(*words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run ``mnistzoo draw`` during the block; yield its address and its process."""
    command = [sys.executable, "-m", "mnistzoo", "draw", "--no-open", "--port", "0", *words]
    with processes.started(
        command, limit=_LIMIT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert "http://" in line, process.stderr.read()
        yield line.split()[2], process


def opened(page: Page, address: str, *models: str, within_ms: float | None = None) -> Page:
    """Open the page, choose these models alone, and wait for them, by default a few seconds."""
    page.goto(address)
    page.locator(".chip").first.wait_for()
    for box in page.locator(".chip input").all():
        box.uncheck()
    for model in models:
        page.get_by_role("checkbox", name=model).check()
    expect(page.get_by_text("being prepared")).to_have_count(0, timeout=within_ms)
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
    """Draw by mouse."""
    for stroke in strokes:
        first, *others = points(page, stroke)
        page.mouse.move(*first)
        page.mouse.down()
        for x, y in others:
            page.mouse.move(x, y)
        page.mouse.up()


def write_linear_model(
    path: Path, hidden: int = 0, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write an ONNX file of a model that is fitted at once: least squares on mnist-10k.

    Args:
        path: of the file.
        hidden: so many random features instead of the pixels, after Rahimi and Recht (2007). With
            1,200 it tells what is drawn here, and 93 % of the test set.
        metadata: of the file.
    """
    train = load_dataset("mnist-10k").train
    random = np.random.default_rng(0)
    inputs = as_input(train.images).reshape(-1, 784)
    nodes, constants = [helper.make_node("Flatten", ["image"], ["inputs"])], {}
    if hidden:
        constants["projection"] = random.normal(0, 0.1, (784, hidden)).astype(np.float32)
        constants["shift"] = random.normal(0, 0.3, hidden).astype(np.float32)
        nodes = [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("Gemm", ["flat", "projection", "shift"], ["projected"]),
            helper.make_node("Relu", ["projected"], ["inputs"]),
        ]
        inputs = np.maximum(inputs @ constants["projection"] + constants["shift"], 0)
    inputs = np.hstack([inputs, np.ones((len(inputs), 1), np.float32)])
    ridge = 3 * np.eye(inputs.shape[1])
    fitted = np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ np.eye(10)[train.labels])
    constants["weight"], constants["bias"] = np.split(10 * fitted.astype(np.float32), [-1])
    nodes.append(helper.make_node("Gemm", ["inputs", "weight", "bias"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, path)
    return path
