import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from mnistzoo import Recipe
from mnistzoo.training.schedule import learning_rate

CONSTANT = Recipe(epochs=1, batch_size=1, optimizer="sgd", learning_rate=0.5)
ONE_CYCLE = dataclasses.replace(CONSTANT, schedule="one-cycle")


@given(steps=st.integers(1, 1000))
@settings(derandomize=True, deadline=None)
def test_constant_stays(steps: int) -> None:
    assert {learning_rate(CONSTANT, step, steps) for step in range(steps)} == {0.5}


@given(steps=st.integers(1, 1000))
@settings(derandomize=True, deadline=None)
def test_one_cycle_rises_then_falls_within_its_bounds(steps: int) -> None:
    rates = [learning_rate(ONE_CYCLE, step, steps) for step in range(steps)]
    top = rates.index(max(rates))
    assert all(0 < rate <= 0.5 for rate in rates)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_one_cycle_peaks_after_a_quarter_and_ends_near_zero() -> None:
    assert learning_rate(ONE_CYCLE, 0, 1000) == 0.5 / 25
    assert learning_rate(ONE_CYCLE, 250, 1000) == 0.5
    assert learning_rate(ONE_CYCLE, 999, 1000) < 0.5 * 1e-4
