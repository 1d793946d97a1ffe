"""What ``pytest benchmarks/ --benchmark-json FILE`` measured, model by model."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mnistzoo.errors import MnistzooError, one_line
from mnistzoo.files import expanded

_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
# Numbers in ``extra_info`` that every benchmark of a model repeats.
_OF_THE_MODEL = ("params", "multiply_adds", "test_accuracy", "threads")


class BenchmarkError(MnistzooError):
    """A file is not the JSON of pytest-benchmark, or holds no benchmark of a model."""


@dataclass(frozen=True)
class Benchmarks:
    """The benchmarks of a file that are about a model.

    Attributes:
        file: its path.
        figures: model to name to value. A name is made of the benchmark's test function and
            parameters and the unit: ``"inference onnx 256, us"`` is a median, and ``"first
            prediction, peak_memory_mb"`` a number of the benchmark's ``extra_info``.
        providers: model to the distribution and version that registered it then.
        machine: processor, threads and versions, in one line.
    """

    file: str
    figures: Mapping[str, Mapping[str, float]]
    providers: Mapping[str, str]
    machine: str

    @property
    def names(self) -> list[str]:
        """Of all figures, in the order of the file."""
        return list(dict.fromkeys(name for each in self.figures.values() for name in each))


def read_benchmarks(path: str | os.PathLike[str]) -> Benchmarks:
    """Read a JSON file that pytest-benchmark wrote.

    Raises:
        BenchmarkError: if it is none, or none of its benchmarks names a model in ``extra_info``.
        OSError: if it cannot be read.
    """
    with expanded(path).open("rb") as stream:
        content = stream.read()
    figures: dict[str, dict[str, float]] = {}
    providers: dict[str, str] = {}
    try:
        facts = json.loads(content)
        for each in facts["benchmarks"]:
            extra = each["extra_info"]
            if extra.get("model") is None:
                continue
            model = one_line(extra["model"])
            name, of_model = _name(each), figures.setdefault(model, {})
            of_model[f"{name}, us"] = _finite(1e6 * each["stats"]["median"])
            for key, value in extra.items():
                if key not in _OF_THE_MODEL and isinstance(value, int | float):
                    of_model[f"{name}, {one_line(key)}"] = _finite(value)
            providers[model] = one_line(extra.get("provider", ""))
        machine = facts["machine_info"].get("mnistzoo", {})
        versions = [f"{name} {number}" for name, number in machine.get("versions", {}).items()]
        threads = [f"{n} thread{'' if n == 1 else 's'}"] if (n := machine.get("threads")) else []
        described = ", ".join([machine.get("processor", "another machine"), *threads, *versions])
        described = one_line(described)
    except _MALFORMED as error:
        raise BenchmarkError(
            f"{path} is not a result of pytest-benchmark; `pytest benchmarks/ --benchmark-json "
            "FILE` writes one"
        ) from error
    if not figures:
        raise BenchmarkError(f"{path} holds no benchmark of a model; run those of benchmarks/")
    return Benchmarks(os.fspath(path), figures, providers, described)


def _name(benchmark: Mapping[str, Any]) -> str:
    function = benchmark["name"].partition("[")[0].removeprefix("test_").replace("_", " ")
    parameters = {**(benchmark["params"] or {})}
    for model in ("model", "trainable"):
        parameters.pop(model, None)
    return one_line(" ".join([function, *map(str, parameters.values())]))


def _finite(number: float) -> float:
    """Return the number, which JSON can hold; Python reads NaN, Infinity and 10**400 out of it."""
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a figure")
    return number
