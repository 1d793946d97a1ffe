import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistzoo import Recipe
from mnistzoo.training.schedule import learning_rate

CONSTANT = Recipe(epochs=1, batch_size=1, optimizer="sgd", learning_rate=0.5)
COSINE = CONSTANT.replace(schedule="cosine")
ONE_CYCLE = CONSTANT.replace(schedule="one-cycle")
STEP = CONSTANT.replace(schedule="step")


@given(steps=st.integers(1, 1000))
def test_constant_stays(steps: int) -> None:
    assert {learning_rate(CONSTANT, step, steps) for step in range(steps)} == {0.5}


@given(steps=st.integers(1, 1000))
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


@pytest.mark.parametrize("recipe", [COSINE, STEP], ids=["cosine", "step"])
@given(steps=st.integers(1, 1000))
def test_cosine_and_step_start_at_the_top_and_only_fall(recipe: Recipe, steps: int) -> None:
    rates = [learning_rate(recipe, step, steps) for step in range(steps)]
    assert rates[0] == 0.5
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0


def test_cosine_falls_to_zero_along_half_a_wave() -> None:
    assert learning_rate(COSINE, 500, 1000) == pytest.approx(0.25)
    assert learning_rate(COSINE, 750, 1000) == pytest.approx(0.25 * (1 - math.sqrt(0.5)))
    assert learning_rate(COSINE, 999, 1000) < 0.5 * 1e-5


def test_step_falls_to_a_tenth_after_half_and_after_three_quarters() -> None:
    rates = [learning_rate(STEP, step, 1000) for step in range(1000)]
    assert set(rates[:500]) == {0.5}
    assert rates[500:750] == pytest.approx([0.05] * 250)
    assert rates[750:] == pytest.approx([0.005] * 250)


@pytest.mark.parametrize("recipe", [COSINE, ONE_CYCLE], ids=["cosine", "one-cycle"])
def test_the_falling_schedules_end_at_their_final_rate(recipe: Recipe) -> None:
    floored = recipe.replace(final_rate=0.1)
    rates = [learning_rate(floored, step, 1000) for step in range(1000)]
    assert max(rates) == 0.5
    assert rates[-1] == pytest.approx(0.05, rel=1e-4)
    assert min(rates[250:]) > 0.05
    assert learning_rate(floored, 625 if recipe is ONE_CYCLE else 500, 1000) == pytest.approx(0.275)
