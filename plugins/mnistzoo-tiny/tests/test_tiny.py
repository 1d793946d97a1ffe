from collections.abc import Callable

import pytest

from mnistzoo import get_spec
from mnistzoo.testing import parametrize_with_checks


@parametrize_with_checks("tiny1k", "tiny7k")
def test_the_tiny_nets_keep_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.parametrize(("name", "most"), [("tiny1k", 1_500), ("tiny7k", 8_000)])
def test_a_tiny_net_is_tiny(name: str, most: int) -> None:
    assert get_spec(name).num_params <= most
