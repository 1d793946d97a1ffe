"""How well digits on pictures are read: a row a kind of picture, drawn from seeds.

    python benchmarks/pictures.py resnet.onnx --count 200 --seed 10000

Right are pictures of which every digit is read; unwarned, those read wrong without a doubt;
doubted, those read right with one. The time is the median for a picture of 12 megapixels, after
decoding, on one thread, the model left out. ``--sheet FILE`` draws one picture of each kind.
The handwriting comes from ten fonts that npm fetches, from drawn strokes and from MNIST's test set:
no photograph of anybody's handwriting is among it.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mnistzoo import Predictor
from mnistzoo.pictures import PictureError, find, normalise
from mnistzoo.prediction import read

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "pictures"))
import scenes

_LARGE = (4_000, 3_000)


@dataclass
class Row:
    kind: str
    right: int = 0
    unwarned: int = 0
    doubted: int = 0
    milliseconds: float = 0


def measure(predictor: Predictor, kind: str, seeds: range, timed: int) -> tuple[Row, list[int]]:
    """Return the figures of a kind, and the seeds of the pictures that were read wrong."""
    row, wrong = Row(kind), []
    times: list[float] = []
    for seed in seeds:
        image, text = scenes.picture(kind, seed)
        try:
            reading = read(image, predictor.probabilities)
        except PictureError:
            wrong.append(seed)
            continue
        doubted = any(each.doubt for each in reading.predictions)
        if len(text) == 1:
            # Several digits where there is one are a doubt; the one that stands out counts.
            doubted, seen = reading.one.doubt is not None, str(reading.one.digit)
        else:
            seen = reading.text
        row.right += seen == text
        row.doubted += seen == text and doubted
        row.unwarned += seen != text and not doubted
        if seen != text:
            wrong.append(seed)
        if len(times) < timed:
            times.append(_seconds(image))
    row.milliseconds = 1_000 * float(np.median(times)) if times else float("nan")
    return row, wrong


def _seconds(image: Image.Image) -> float:
    """Return how long finding and normalising take, of the picture in 12 megapixels."""
    large = image.convert("RGB").resize(_LARGE if image.width >= image.height else _LARGE[::-1])
    start = time.perf_counter()
    from mnistzoo.pictures import decode

    for digit in find(decode(large).pixels).digits:
        normalise(digit.ink)
    return time.perf_counter() - start


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
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=10_000, help="of the first picture")
    parser.add_argument("--kinds", nargs="*", default=list(scenes.KINDS), choices=scenes.KINDS)
    parser.add_argument("--timed", type=int, default=3, help="pictures of a kind that are timed")
    parser.add_argument("--wrong", action="store_true", help="name the seeds that were read wrong")
    parser.add_argument("--sheet", help="write one picture of each kind, and nothing else")
    options = parser.parse_args()
    if options.sheet:
        sheet(options.seed).quantize(64).save(options.sheet, optimize=True)
        return
    predictor = Predictor(options.model)
    print(f"| kind | right of {options.count} | unwarned | right, doubted | ms |")
    print("|---|---:|---:|---:|---:|")
    for kind in options.kinds:
        seeds = range(options.seed, options.seed + options.count)
        row, wrong = measure(predictor, kind, seeds, options.timed)
        cells = [kind, row.right, row.unwarned, row.doubted, f"{row.milliseconds:.0f}"]
        tail = f"  {wrong}" if options.wrong and wrong else ""
        print("|", " | ".join(map(str, cells)), "|" + tail, flush=True)


if __name__ == "__main__":
    main()
