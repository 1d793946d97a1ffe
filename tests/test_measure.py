import pytest
import torch
from torch import Tensor, nn

from mnistzoo import MnistzooError, load_dataset
from mnistzoo.measure import latency_us, multiply_adds
from mnistzoo.provenance import environment


def images(count: int) -> Tensor:
    return torch.tensor(load_dataset("mnist-10k").test.images[:count]).unsqueeze(1)


def test_multiply_adds_of_layers_counted_by_hand() -> None:
    dense = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))
    assert multiply_adds(dense) == 784 * 16 + 16 * 10
    convolution = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    )
    assert multiply_adds(convolution) == 28 * 28 * 4 * 9 + 4 * 10


def test_latency_is_positive_and_in_evaluation_mode() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10)).train()
    assert latency_us(model, images(2)) > 0


def test_latency_of_a_model_that_answers_at_random_is_refused() -> None:
    class Random(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.rand(len(inputs), 10)

    with pytest.raises(MnistzooError, match="other logits"):
        latency_us(Random(), images(1))


def test_environment_names_device_and_versions_and_no_threads_that_a_figure_did_not_have() -> None:
    found = environment(torch.device("cpu"))
    assert found["device"] == "cpu"
    assert "threads" not in found
    assert found["versions"]["torch"] == torch.__version__
