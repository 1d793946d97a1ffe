"""The test images that say most about models: what they all miss, and where each is sure and wrong.

Of each only a few are kept, so that they can travel with a comparison as JSON.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzoo.data import Split
from mnistzoo.evaluation import Evaluation

_SHOWN = 12  # of the images that all miss, and of those that only the best recognises
_SHOWN_OF_EACH = 4  # most confident errors of each model


def telling_images(evaluations: Mapping[str, Evaluation], images: Split) -> dict[str, Any]:
    """Choose images and return them with what each model says of them, as JSON can hold it.

    Args:
        evaluations: of the same images, by the name of the model, the best first.
        images: that the models were evaluated on.

    Returns:
        ``missed_by_all`` and, of several models, ``only_best`` with ``model``: how many there are
        (``count``) and the indices of some (``shown``), those first where the wrong answers are the
        most confident. ``confident_errors``: the same of each model. ``images``: by index the
        ``label``, the ``pixels`` (28 rows of 28 bytes in base64, 255 is ink) and the ``answers``,
        by model the digit and its probability.
    """
    names = list(evaluations)
    wrong = np.array([~each.correct for each in evaluations.values()])
    confidence = np.array([each.probabilities.max(1) for each in evaluations.values()])
    of_errors = np.where(wrong, confidence, 0)
    chosen: dict[str, Any] = {
        "missed_by_all": _some(np.logical_and.reduce(wrong), of_errors.mean(0), _SHOWN),
        "only_best": None,
        "confident_errors": {
            name: _some(errors, sure, _SHOWN_OF_EACH)
            for name, errors, sure in zip(names, wrong, confidence, strict=True)
        },
    }
    if len(names) > 1:
        only_best = np.logical_and.reduce(wrong[1:]) & ~wrong[0]
        found = _some(only_best, of_errors[1:].mean(0), _SHOWN)
        chosen["only_best"] = {"model": names[0], **found}
    groups = [chosen["missed_by_all"], chosen["only_best"], *chosen["confident_errors"].values()]
    shown = sorted({index for group in groups if group for index in group["shown"]})
    return {**chosen, "images": {str(i): _picture(i, images, evaluations) for i in shown}}


def _some(chosen: NDArray[np.bool_], rank: NDArray[np.float64], most: int) -> dict[str, Any]:
    """Return how many images are chosen, and the indices of those that rank the highest."""
    indices = np.flatnonzero(chosen)
    first = indices[np.argsort(-rank[indices], kind="stable")][:most]
    return {"count": len(indices), "shown": first.tolist()}


def _picture(index: int, images: Split, evaluations: Mapping[str, Evaluation]) -> dict[str, Any]:
    return {
        "label": int(images.labels[index]),
        "pixels": base64.b64encode(images.images[index].tobytes()).decode(),
        "answers": {
            name: [int(each.predictions[index]), round(float(each.probabilities[index].max()), 6)]
            for name, each in evaluations.items()
        },
    }
