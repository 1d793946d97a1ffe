"""Temperature scaling and the threshold of refusal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from mnistzoo.calibration import Calibration, fit_temperature, softmax


def drawn(seed: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels drawn from their softmax, the logits then too large by a factor."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (4000, 10))
    labels = np.array([random.choice(10, p=each) for each in softmax(logits)])
    return (logits * temperature).astype(np.float32), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_the_logits_too_large(temperature: float) -> None:
    assert fit_temperature(*drawn(0, temperature)) == pytest.approx(temperature, rel=0.08)


def test_the_temperature_has_the_lowest_cross_entropy_as_scipy_finds_it() -> None:
    logits, labels = drawn(1, 2.0)

    def cross_entropy(temperature: float) -> float:
        probabilities = softmax(logits.astype(float) / temperature)
        return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())

    best = minimize_scalar(
        cross_entropy, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-6}
    )
    assert fit_temperature(logits, labels) == pytest.approx(best.x, rel=1e-3)


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_logits_without_information_or_without_error_give_a_bound_not_a_fault(
    seed: int, right: bool
) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, 50)
    logits = np.eye(10, dtype=np.float32)[labels if right else (labels + 1) % 10]
    found = fit_temperature(logits, labels)
    assert 0.01 <= found < 0.05 if right else 50 < found <= 100


def test_the_threshold_refuses_the_least_sure_hundredth() -> None:
    logits, labels = drawn(2, 1.5)
    fitted = Calibration.fit(logits, labels)
    sure = softmax(logits / fitted.temperature).max(1)
    assert (sure < fitted.threshold).mean() == pytest.approx(0.01, abs=0.0005)


@given(st.floats(-80, 80), st.integers(0, 2**32 - 1))
def test_a_softmax_sums_to_one_whatever_is_added_to_the_logits(shift: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 20, (5, 10))
    np.testing.assert_allclose(softmax(logits).sum(1), 1)
    np.testing.assert_allclose(softmax(logits + shift), softmax(logits), rtol=1e-6, atol=1e-12)


def test_softmax_of_large_logits_is_finite() -> None:
    assert softmax(np.array([[1000, 0], [-1000, 0]], np.float32)).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(("temperature", "threshold"), [(0, 0.5), (float("inf"), 0.5), (1, 1.5)])
def test_a_calibration_out_of_range_is_refused(temperature: float, threshold: float) -> None:
    with pytest.raises(ValueError, match="it must be a number from"):
        Calibration(temperature, threshold)
