import pytest

from mnistzoo import get_spec
from mnistzoo.testing import check_model


@pytest.mark.parametrize(("name", "most"), [("tiny1k", 1_500), ("tiny7k", 8_000)])
def test_a_tiny_net_keeps_the_contract_and_is_tiny(name: str, most: int) -> None:
    check_model(name)
    assert get_spec(name).num_params <= most
