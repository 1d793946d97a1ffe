"""The data layer: the IDX format, the data sets, and where their files come from."""

from mnistzoo.data.datasets import Dataset, list_datasets, load_dataset
from mnistzoo.data.idx import IdxError, read_idx, write_idx
from mnistzoo.data.sources import DataError
from mnistzoo.data.split import Split

__all__ = [
    "DataError",
    "Dataset",
    "IdxError",
    "Split",
    "list_datasets",
    "load_dataset",
    "read_idx",
    "write_idx",
]
