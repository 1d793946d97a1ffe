"""Registers data sets in MNIST's form with mnistzoo: what their authors publish, and where.

MD5 checksums are those that the authors or torchvision publish, of the files as they are served.
"""

from collections.abc import Callable

from mnistzoo import DataFile, DatasetSpec, hookimpl

_DIGITS = tuple("0123456789")
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")

FASHION_MNIST = DatasetSpec(
    name="fashion-mnist",
    summary="Articles of clothing from a shop's pictures",
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    # Of the unzipped bytes, so that Debian's files count too, which are gzipped anew. Their bytes
    # are those of the published MD5 checksums; the README says how that was found.
    train=(
        DataFile(
            "train-images-idx3-ubyte",
            "sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        DataFile(
            "train-labels-idx1-ubyte",
            "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
    ),
    test=(
        DataFile(
            "t10k-images-idx3-ubyte",
            "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        DataFile(
            "t10k-labels-idx1-ubyte",
            "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    train_images=60_000,
    test_images=10_000,
    validation_size=5_000,
    sources=(
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    folders=("/usr/share/datasets/fashion-mnist",),  # Debian's package dataset-fashion-mnist
    subfolders=("FashionMNIST/raw",),
    license="MIT",
    source="Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747",
)

KMNIST = DatasetSpec(
    name="kmnist",
    summary="Ten hiragana in cursive script from old Japanese books",
    classes=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    train=(
        DataFile("train-images-idx3-ubyte.gz", "md5:bdb82020997e1d708af4cf47b453dcf7"),
        DataFile("train-labels-idx1-ubyte.gz", "md5:e144d726b3acfaa3e44228e80efcd344"),
    ),
    test=(
        DataFile("t10k-images-idx3-ubyte.gz", "md5:5c965bf0a639b31b8f53240b1b52f4d7"),
        DataFile("t10k-labels-idx1-ubyte.gz", "md5:7320c461ea6c1c855c0b718fb2a4b134"),
    ),
    train_images=60_000,
    test_images=10_000,
    validation_size=5_000,
    sources=(
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://web.archive.org/web/2022id_/http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ),
    subfolders=("KMNIST/raw",),
    license="CC-BY-SA-4.0",
    source="Clanuwat et al. 2018, Deep learning for classical Japanese literature, "
    "arXiv 1812.01718",
)

QMNIST = DatasetSpec(
    name="qmnist",
    summary="MNIST made anew from its sources, with all 60,000 test images",
    classes=_DIGITS,
    train=(
        DataFile("qmnist-train-images-idx3-ubyte.gz", "md5:ed72d4157d28c017586c42bc6afe6370"),
        DataFile("qmnist-train-labels-idx2-int.gz", "md5:0058f8dd561b90ffdd0f734c6a30e5e4"),
    ),
    test=(
        DataFile("qmnist-test-images-idx3-ubyte.gz", "md5:1394631089c404de565df7b7aeaf9412"),
        DataFile("qmnist-test-labels-idx2-int.gz", "md5:5b5b05890a5e13444e108efe57b788aa"),
    ),
    train_images=60_000,
    test_images=60_000,
    validation_size=5_000,
    sources=(
        "https://raw.githubusercontent.com/facebookresearch/qmnist/master/",
        "https://github.com/facebookresearch/qmnist/raw/master/",
    ),
    decode="mnistzoo_datasets.decode:qmnist",
    subfolders=("QMNIST/raw",),
    weights_from="mnist",  # what it was made for: to test what was trained on MNIST
    license="BSD-3-Clause",
    source="Yadav and Bottou 2019, Cold case: the lost MNIST digits, arXiv 1905.10498",
)


def _emnist(
    part: str,
    summary: str,
    classes: tuple[str, ...],
    train_images: int,
    test_images: int,
    decode: str = "emnist",
) -> DatasetSpec:
    def files(split: str) -> tuple[DataFile, DataFile]:
        images, labels = (
            DataFile(
                "gzip.zip",
                "md5:58c8d27c78d21e728a6bc7b3cc06412e",
                f"gzip/emnist-{part}-{split}-{kind}-ubyte.gz",
            )
            for kind in ("images-idx3", "labels-idx1")
        )
        return images, labels

    return DatasetSpec(
        name=f"emnist-{part}",
        summary=summary,
        classes=classes,
        train=files("train"),
        test=files("test"),
        train_images=train_images,
        test_images=test_images,
        validation_size=train_images // 12,  # MNIST's share
        sources=(
            "https://biometrics.nist.gov/cs_links/EMNIST/",
            "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
        ),
        decode=f"mnistzoo_datasets.decode:{decode}",
        subfolders=("EMNIST/raw",),
        cache="emnist",
        source="Cohen, Afshar, Tapson and van Schaik 2017, EMNIST: an extension of MNIST to "
        "handwritten letters, arXiv 1702.05373",
    )


EMNIST_DIGITS = _emnist("digits", "More handwritten digits", _DIGITS, 240_000, 40_000)
EMNIST_LETTERS = _emnist(
    "letters",
    "Handwritten letters, capital and small ones in one class",
    _LETTERS,
    124_800,
    20_800,
    "emnist_letters",
)
EMNIST_BALANCED = _emnist(
    "balanced",
    "Digits, capital letters and the small ones that look different",
    tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
    112_800,
    18_800,
)


@hookimpl
def register_datasets(register: Callable[[DatasetSpec], None]) -> None:
    """Register all of them."""
    for spec in (
        *(FASHION_MNIST, KMNIST, QMNIST),
        *(EMNIST_DIGITS, EMNIST_LETTERS, EMNIST_BALANCED),
    ):
        register(spec)
