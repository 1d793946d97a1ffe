"""The learning rate of each step."""

import math

from mnistzoo.recipe import Recipe

_RISE = 0.25
_START = 1 / 25


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of step ``step``, from 0, of ``steps`` in the whole run.

    One-cycle follows Smith and Topin (arXiv 1708.07120) with a cosine fall: from 1/25 of the
    recipe's learning rate up to it over the first quarter of the steps, then down to almost 0, or
    to ``final_rate`` of it.
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "step":
        return recipe.learning_rate * 0.1 ** ((step >= 0.5 * steps) + (step >= 0.75 * steps))
    peak = _RISE * steps if recipe.schedule == "one-cycle" else 0.0
    if step < peak:
        return recipe.learning_rate * (_START + (1 - _START) * step / peak)
    fall = (1 + math.cos(math.pi * (step - peak) / (steps - peak))) / 2
    return recipe.learning_rate * (recipe.final_rate + (1 - recipe.final_rate) * fall)
