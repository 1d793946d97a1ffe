"""How well digits on pictures are read: a row a kind of picture, drawn from seeds.

    python benchmarks/pictures.py resnet.onnx --seeds report --count 200

Right are pictures of which every digit is read; unwarned, those read wrong without a doubt;
doubted, those read right with one. Beside them stands how many two simpler readers read right, of
the same pictures with the same model: one that makes the whole picture 28x28 pixels, and a
textbook's (see ``naive`` and ``textbook``). The time is the thread's processor time for finding and
normalising the digits of a picture of 12 megapixels, decoded before, the model left out.

``--without-digit`` measures pictures with nothing written on them instead: how many are refused,
how many doubted, and how many read as a digit without a doubt. ``--test-set`` reads MNIST's test
set sent through as pictures; ``--sheet FILE`` draws one picture of each kind. The handwriting comes
from ten fonts that npm fetches, from drawn strokes and from MNIST's test set: no photograph of
anybody's handwriting is among it.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mnistzoo import Predictor, load_dataset, read_picture
from mnistzoo.pictures import PictureError, decode, find, normalise
from mnistzoo.prediction import read

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "pictures"))
import scenes

# The reader was made with pictures of the first seeds; those reported were never used for it.
SEEDS = {"selection": 10_000, "report": 60_000}
_LARGE = (4_000, 3_000)

Bytes = NDArray[np.uint8]


@dataclass
class Row:
    kind: str
    right: int = 0
    naive: int = 0
    textbook: int = 0
    unwarned: int = 0
    doubted: int = 0
    milliseconds: list[float] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)
    right_but_doubted: list[int] = field(default_factory=list)


def measure(predictor: Predictor, kind: str, seeds: range, timed: int) -> Row:
    """Return the figures of a kind."""
    row = Row(kind)
    for seed in seeds:
        image, text = scenes.picture(kind, seed)
        for reader in (naive, textbook) if len(text) == 1 else ():
            seen = predictor.probabilities(reader(image)[None]).argmax()
            setattr(row, reader.__name__, getattr(row, reader.__name__) + (str(seen) == text))
        if len(row.milliseconds) < timed:
            row.milliseconds.append(_milliseconds(image))
        try:
            reading = read(image, predictor.reader)
        except PictureError:
            row.wrong.append(seed)
            continue
        # Several digits where there is one are a doubt; the one that stands out counts.
        answers = reading.predictions if len(text) > 1 else [reading.one]
        right = "".join(str(each.digit) for each in answers) == text
        doubted = any(each.doubt for each in answers)
        row.right += right
        row.unwarned += not right and not doubted
        row.doubted += right and doubted
        if not right:
            row.wrong.append(seed)
        elif doubted:
            row.right_but_doubted.append(seed)
    return row


def measure_without_digit(predictor: Predictor, kind: str, seeds: range) -> tuple[int, int, int]:
    """Return of how many pictures without a digit none is found, one with a doubt, and without."""
    refused = doubted = 0
    for seed in seeds:
        try:
            reading = read(scenes.without_digit(kind, seed), predictor.reader)
        except PictureError:
            refused += 1
            continue
        doubted += reading.one.doubt is not None
    return refused, doubted, len(seeds) - refused - doubted


def naive(image: Image.Image) -> Bytes:
    """Return the whole picture in 28x28 pixels, light on dark."""
    gray = np.asarray(_opaque(image).convert("L").resize((28, 28), Image.Resampling.LANCZOS))
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    return 255 - gray if np.median(border) > 127 else gray


def textbook(image: Image.Image) -> Bytes:
    """Return what Otsu's threshold finds, in the difference from a median of a large window.

    Of its connected components, those of at least a tenth of the largest one's area.
    """
    gray = np.asarray(_opaque(image).convert("L"))
    if (factor := 480 / max(gray.shape)) < 1:
        gray = cv2.resize(gray, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    window = min(max(gray.shape) // 2, 255) | 1
    different = cv2.absdiff(gray, cv2.medianBlur(gray, window))
    _, ink = cv2.threshold(different, 0, 1, cv2.THRESH_OTSU)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the paper
    dominant = np.flatnonzero(areas >= 0.1 * areas.max())
    share = different.astype(np.float32) / max(1, different.max())
    digit = np.where(np.isin(labels, dominant), share, 0)
    return normalise(digit) if digit.any() else np.zeros((28, 28), np.uint8)


def _opaque(image: Image.Image) -> Image.Image:
    """Return the picture with what is transparent as ``decode`` would have it, for all readers."""
    return Image.fromarray(decode(image).pixels) if image.mode == "RGBA" else image


def _milliseconds(image: Image.Image) -> float:
    """Return how long finding and normalising take, of the picture in 12 megapixels."""
    large = _opaque(image).convert("RGB")
    large = large.resize(_LARGE if image.width >= image.height else _LARGE[::-1])
    # Twice, as the first time pays for memory.
    return min(_once(large), _once(large))


def _once(large: Image.Image) -> float:
    start = time.thread_time()
    for digit in find(decode(large).pixels).digits:
        normalise(digit.ink)
    return 1_000 * (time.thread_time() - start)


def test_set(predictor: Predictor) -> None:
    """Print how many images of MNIST's test set are read right, by themselves and as pictures."""
    test = load_dataset("mnist-10k").test

    def right(images: Bytes) -> int:
        seen = [predictor.probabilities(part).argmax(axis=1) for part in np.array_split(images, 20)]
        return int((np.concatenate(seen) == test.labels).sum())

    print(f"right of {len(test.labels)} by themselves: {right(test.images)}", flush=True)
    for factor in (1, 4):
        enlarged = np.ones((factor, factor), np.uint8)
        pictures = [read_picture(255 - np.kron(image, enlarged)) for image in test.images]
        print(f"dark on light, {factor} times as large: {right(np.stack(pictures))}", flush=True)


def sheet(seed: int) -> Image.Image:
    """Return one picture of each kind, in rows of ten."""
    cell, names = 96, list(scenes.KINDS)
    result = Image.new("RGB", (10 * cell, -(-len(names) // 10) * (cell + 12)), "gray")
    draw = ImageDraw.Draw(result)
    for place, name in enumerate(names):
        image, _ = scenes.picture(name, seed)
        if image.mode == "RGBA":
            image = Image.alpha_composite(Image.new("RGBA", image.size, "silver"), image)
        image = image.convert("RGB")
        image.thumbnail((cell - 4, cell - 4))
        x, y = place % 10 * cell, place // 10 * (cell + 12)
        result.paste(image, (x, y + 12))
        draw.text((x, y), name[:16], fill="white")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", default="resnet.onnx", help="from `mnistzoo export`")
    parser.add_argument("--count", type=int, default=200, help="pictures of a kind")
    parser.add_argument("--seeds", choices=SEEDS, default="selection")
    parser.add_argument("--kinds", nargs="*", default=list(scenes.KINDS), choices=scenes.KINDS)
    parser.add_argument("--timed", type=int, default=5, help="pictures of a kind that are timed")
    parser.add_argument("--wrong", action="store_true", help="name seeds read wrong, and doubted")
    parser.add_argument("--without-digit", action="store_true", help="measure such instead")
    parser.add_argument("--test-set", action="store_true", help="read MNIST's test set instead")
    parser.add_argument("--sheet", help="write one picture of each kind, and nothing else")
    options = parser.parse_args()
    first = SEEDS[options.seeds]
    if options.sheet:
        sheet(first).quantize(64).save(options.sheet, optimize=True)
        return
    cv2.setNumThreads(1)
    predictor = Predictor(options.model)
    if options.test_set:
        test_set(predictor)
        return
    seeds = range(first, first + options.count)
    if options.without_digit:
        print(f"| nothing written, of {options.count} | refused | doubted | unwarned |")
        print("|---|---:|---:|---:|")
        for kind in scenes.WITHOUT_DIGIT:
            counts = measure_without_digit(predictor, kind, seeds)
            print("|", " | ".join(map(str, (kind, *counts))), "|", flush=True)
        return
    print(f"| kind | right of {options.count} | naive | textbook | unwarned | doubted | ms |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind in options.kinds:
        row = measure(predictor, kind, seeds, options.timed)
        single = len(scenes.picture(kind, first)[1]) == 1
        simpler = (row.naive, row.textbook) if single else ("-", "-")
        median = f"{np.median(row.milliseconds):.0f}" if row.milliseconds else "-"
        cells = (kind, row.right, *simpler, row.unwarned, row.doubted, median)
        print("|", " | ".join(map(str, cells)), "|", flush=True)
        if options.wrong and (row.wrong or row.right_but_doubted):
            print("  wrong", row.wrong, "right but doubted", row.right_but_doubted, flush=True)


if __name__ == "__main__":
    main()
