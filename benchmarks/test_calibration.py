"""How fast this machine is: the unit in which a stored baseline counts all other benchmarks."""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture


@pytest.mark.benchmark(group="calibration", min_rounds=30)
def test_calibration(benchmark: BenchmarkFixture) -> None:
    """Interpreter and matrix products, about half each."""
    matrix = np.random.default_rng(0).random((256, 256), np.float32)

    def work() -> int:
        product = matrix
        for _ in range(8):
            product = matrix @ product
            product /= product.max()
        return sum(number * number for number in range(60_000))

    assert benchmark(work) == 60_000 * 59_999 * 119_999 // 6
