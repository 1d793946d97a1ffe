"""Inference of every installed model: PyTorch eager, ONNX Runtime in float32 and int8."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from torch import nn

from mnistzoo import Predictor
from mnistzoo.classifier import as_classifier, is_module
from mnistzoo.cpu import laid_out


@pytest.mark.parametrize("batch", [1, 32, 256])
@pytest.mark.parametrize("runtime", ["eager", "onnx", "int8"])
@pytest.mark.benchmark(max_time=0.5, min_rounds=5, warmup=True, warmup_iterations=3)
def test_inference(
    benchmark: BenchmarkFixture,
    model: str,
    runtime: str,
    batch: int,
    eager: Callable[[str], nn.Module],
    facts: Callable[[str], dict[str, Any]],
    onnx_files: Callable[[str, bool], Path],
    inputs: Callable[[int], NDArray[np.float32]],
) -> None:
    benchmark.group = f"inference of {model}, batch {batch:>3}"
    images = inputs(batch)
    loaded = eager(model)
    if is_module(loaded):
        net: Callable[[torch.Tensor], torch.Tensor] = laid_out(loaded)
    else:

        def net(inputs: torch.Tensor) -> torch.Tensor:
            pixels = inputs.squeeze(1).mul(255).round().byte().numpy()
            return torch.from_numpy(as_classifier(loaded).logits(pixels))

    with torch.inference_mode():
        expected = net(torch.from_numpy(images)).numpy()
        if runtime == "eager":
            logits = benchmark(net, torch.from_numpy(images)).numpy()
        else:
            predictor = Predictor(onnx_files(model, runtime == "int8"), threads=1)
            logits = benchmark(predictor.logits, images)
        if runtime == "int8":  # rounding changes logits, but hardly a digit
            many = inputs(1000)
            digits = net(torch.from_numpy(many)).argmax(1).numpy()
            assert (predictor.logits(many).argmax(1) == digits).mean() > 0.98
            assert logits.shape == expected.shape and np.isfinite(logits).all()
        else:
            np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
    benchmark.extra_info.update(facts(model))
