"""Draws the data set in data/, from the font in Pillow: ``python -m example_letters.draw``."""

import gzip
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mnistzoo import write_idx

FOLDER = Path(__file__).parent / "data"
NUMBERS = np.random.default_rng(0)


def letter(label: int) -> Image.Image:
    """Return a letter, white on black, of some size, turned and moved a little."""
    image = Image.new("L", (28, 28))
    font = ImageFont.load_default(float(NUMBERS.uniform(18, 26)))
    middle = tuple(NUMBERS.uniform(12, 16, 2))
    ImageDraw.Draw(image).text(middle, chr(ord("a") + label), 255, font, anchor="mm")
    return image.rotate(NUMBERS.uniform(-15, 15), Image.Resampling.BILINEAR)


def main() -> None:
    """Write 26 images a class to train on, and 8 to test; in four grays, so that they pack well."""
    for part, count in (("train", 26), ("t10k", 8)):
        labels = np.tile(np.arange(26, dtype=np.uint8), count)
        images = np.stack([np.asarray(letter(label)) for label in labels]) // 64 * 85
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = FOLDER / f"{part}-{kind}-ubyte"
            write_idx(path, array)
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
            path.unlink()


if __name__ == "__main__":
    main()
