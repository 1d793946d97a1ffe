"""Intervals and tests, against published values and scipy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mnistzoo.statistics import holm, mcnemar, wilson_interval


def test_wilson_interval_agrees_with_published_values() -> None:
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(total=st.integers(1, 10_000), share=st.floats(0, 1))
def test_wilson_interval_holds_the_share(total: int, share: float) -> None:
    right = round(share * total)
    low, high = wilson_interval(right, total)
    assert 0 <= low <= right / total + 1e-12
    assert right / total - 1e-12 <= high <= 1


def test_mcnemar_is_the_exact_binomial_test() -> None:
    first = np.array([True] * 9 + [False] * 1 + [True] * 50)
    second = np.array([False] * 9 + [True] * 1 + [True] * 50)
    # Two-sided binomial probability of at most 1 in 10: 2 * (1 + 10) / 1024.
    assert mcnemar(first, second) == (9, 1, 22 / 1024)
    assert mcnemar(second, first) == (1, 9, 22 / 1024)
    assert mcnemar(first, first) == (0, 0, 1.0)


def test_holm_multiplies_by_the_number_of_hypotheses_left() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(total=st.integers(1, 10_000), share=st.floats(0, 1))
def test_wilson_interval_is_scipys(total: int, share: float) -> None:
    right = round(share * total)
    expected = stats.binomtest(right, total).proportion_ci(method="wilson")
    assert wilson_interval(right, total) == pytest.approx((expected.low, expected.high), abs=1e-6)


@given(right=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_mcnemar_is_scipys_binomial_test_of_the_images_that_one_alone_recognises(
    right: list[tuple[bool, bool]],
) -> None:
    first, second = (np.array(each) for each in zip(*right, strict=True))
    only_first, only_second, p_value = mcnemar(first, second)
    if only_first + only_second:
        expected = stats.binomtest(only_first, only_first + only_second).pvalue
        assert p_value == pytest.approx(expected)
    else:
        assert p_value == 1


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_step_down_rule_rejects(p_values: list[float]) -> None:
    # From the smallest on, each against alpha over the number that is left; the first miss ends it.
    for alpha in (0.05, 0.2):
        rejected = set()
        order = sorted(range(len(p_values)), key=p_values.__getitem__)
        for rank, index in enumerate(order):
            if p_values[index] * (len(p_values) - rank) > alpha:
                break
            rejected.add(index)
        assert {i for i, p in enumerate(holm(p_values)) if p <= alpha} == rejected
