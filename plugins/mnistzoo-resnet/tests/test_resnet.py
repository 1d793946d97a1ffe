from collections.abc import Callable

from torch import nn

from mnistzoo import create_model
from mnistzoo.testing import parametrize_with_checks


@parametrize_with_checks("resnet")
def test_resnet_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


def test_every_batch_norm_directly_follows_a_convolution() -> None:
    for module in create_model("resnet").modules():
        children = list(module.children())
        for before, after in zip([None, *children], children, strict=False):
            if isinstance(after, nn.BatchNorm2d):
                assert isinstance(module, nn.Sequential)
                assert isinstance(before, nn.Conv2d)
                assert before.out_channels == after.num_features
