"""Comparisons to show, whose models answer for the real test images by a table of chances."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mnistzoo import Evaluation, load_dataset
from mnistzoo.comparison import Comparison
from mnistzoo.rows import Measurement, Row, TrainingPlan
from mnistzoo.training import Epoch

DATA = load_dataset("mnist-10k")
TEN = ("resnet", "small", "convnet", "tiny", "lenet", "vit", "sprint", "flat", "wide", "linear")


@functools.cache
def answers(seed: int, noise: float) -> Evaluation:
    """Return the evaluation of a model that is the worse the more noise is in its logits."""
    labels = DATA.test.labels
    chances = np.random.default_rng(seed)
    logits = 8 * np.eye(10, dtype=np.float32)[labels]
    logits += chances.normal(0, noise, logits.shape).astype(np.float32)
    hard = chances.permutation(len(labels))[:300] if seed else np.arange(20)
    logits[np.r_[:20, hard]] = np.roll(logits[np.r_[:20, hard]], 1, axis=1)
    return Evaluation.from_logits(logits, labels)


def row(number: int, name: str, seeds: int = 1, **changes: Any) -> Row:
    """Return the row of a model; those with a low number are the better."""
    history = [
        Epoch(epoch, 1 / (epoch + number), 0.01, 1 - 0.2 / epoch, 3.0 * epoch)
        for epoch in range(1, 13)
    ]
    measurement = Measurement(
        evaluations=[answers(100 * seed + number, 1 + 0.2 * number) for seed in range(seeds)],
        seeds=list(range(seeds)),
        histories=[history] * seeds,
        train_seconds=3.5,
        multiply_adds=100 * 4**number,
        file_bytes=40_000,
        latency_us=20.0 * 2**number,
        latency_256_us=2000.0,
        latency_threads=1,
        weights_sha256={f"seed {seed}": f"{seed:064x}" for seed in range(seeds)},
    )
    told: dict[str, Any] = {
        "name": name,
        "provider": "mnistzoo-tests",
        "version": "1.0",
        "params": 1000 * 3**number,
        "measurement": measurement,
        "summary": "Made for tests",
    }
    return Row(**told | changes)


def compared(names: Sequence[str], seeds: int = 1, *failed: Row) -> Comparison:
    """Return models side by side, and those that failed after them."""
    rows = [row(number, name, seeds) for number, name in enumerate(names)]
    plan = TrainingPlan(seeds=seeds) if seeds > 1 else None
    return Comparison.of([*rows, *failed], DATA, torch.device("cpu"), plan)
