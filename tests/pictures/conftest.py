"""What the tests of pictures share."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzoo import list_models, load_model


@pytest.fixture(scope="session")
def classify() -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    if "resnet" not in list_models():
        pytest.skip("the plugin mnistzoo-resnet is not installed")
    import torch

    model = load_model("resnet")

    def classify(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = model(torch.from_numpy(images[:, None].astype(np.float32) / 255))
        return np.asarray(logits.softmax(1))

    return classify
