from collections.abc import Callable

from mnistzoo import create_model, get_spec
from mnistzoo.testing import parametrize_with_checks


@parametrize_with_checks("lenet5")
def test_lenet5_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_the_architecture_is_the_common_one() -> None:
    model = create_model("lenet")
    assert sum(parameter.numel() for parameter in model.parameters()) == 61_706
    assert {name: list(tensor.shape) for name, tensor in model.state_dict().items()} == {
        "conv1.weight": [6, 1, 5, 5],
        "conv1.bias": [6],
        "conv2.weight": [16, 6, 5, 5],
        "conv2.bias": [16],
        "fc1.weight": [120, 400],
        "fc1.bias": [120],
        "fc2.weight": [84, 120],
        "fc2.bias": [84],
        "fc3.weight": [10, 84],
        "fc3.bias": [10],
    }
    assert get_spec("lenet").name == "lenet5"
