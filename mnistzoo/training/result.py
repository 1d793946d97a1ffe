"""What a training run came to."""

import dataclasses
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mnistzoo.errors import MnistzooError
from mnistzoo.evaluation import Evaluation, RepeatedEvaluation
from mnistzoo.files import expanded
from mnistzoo.provenance import Provenance
from mnistzoo.recipe import Recipe
from mnistzoo.run_files import unfinished
from mnistzoo.training.callbacks import Epoch
from mnistzoo.weights import save_weights

_log = logging.getLogger("mnistzoo")


@dataclass(frozen=True)
class TrainingResult:
    """A trained model and how it came about.

    Attributes:
        model: as it is after the last complete epoch, a module in evaluation mode.
        history: the complete epochs, in their order.
        recipe: that was followed.
        provenance: what the run was; it goes into the file with the weights.
        test: how good it is on the test set, several times of a stochastic model; None before it
            was evaluated.
    """

    model: Any
    history: list[Epoch]
    recipe: Recipe
    provenance: Provenance
    test: Evaluation | RepeatedEvaluation | None = None

    def __repr__(self) -> str:
        told = f"{self.provenance.model!r}, epochs: {len(self.history)}"
        if self.validation_accuracy is not None:
            told += f", validation {100 * self.validation_accuracy:.2f} %"
        if self.test is not None:
            told += f", test {100 * self.test.accuracy:.2f} %"
        return f"TrainingResult({told}{'' if self.complete else ', not complete'})"

    @property
    def complete(self) -> bool:
        """Whether the run went through every epoch of its recipe."""
        return self.provenance.complete

    @property
    def validation_accuracy(self) -> float | None:
        """At the end of training, 0 to 1; None without a validation split."""
        return self.history[-1].validation_accuracy if self.history else None

    @property
    def seconds(self) -> float:
        """From the first step to the end of the last complete epoch."""
        return self.history[-1].seconds if self.history else 0.0

    def with_test(self, evaluation: Evaluation | RepeatedEvaluation) -> Self:
        """Return it with its evaluation on the test set; its provenance has the accuracy.

        Of a stochastic model that is the mean, and ``test_accuracy_repeat_sd`` stands beside it.
        """
        metrics = {**self.provenance.metrics, "test_accuracy": evaluation.accuracy}
        if isinstance(evaluation, RepeatedEvaluation):
            metrics["test_accuracy_repeat_sd"] = evaluation.accuracy_sd
        provenance = dataclasses.replace(self.provenance, evaluated=True, metrics=metrics)
        return dataclasses.replace(self, provenance=provenance, test=evaluation)

    def to_dict(self) -> dict[str, Any]:
        """Return what the run was and came to, without the weights, as JSON can hold it."""
        return {
            **self.provenance.to_dict(),
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "evaluation": None if self.test is None else self.test.to_dict(),
        }

    def path(self, wanted: str | os.PathLike[str]) -> Path:
        """Return where :meth:`save` puts the weights: at the path that is wanted.

        That is kept for a complete run, though; the weights of another go beside it, under a name
        that says after which epoch it ended.
        """
        path = expanded(wanted)
        if self.complete:
            return path
        return unfinished(path, len(self.history), self.recipe.epochs)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the weights as safetensors, whole or not at all, with the provenance inside.

        A file that is there is replaced, which is logged.

        Args:
            path: ends in ``.safetensors``; see :meth:`path` for a run that is not complete.

        Returns:
            Where they are.

        Raises:
            MnistzooError: for another suffix.
            OSError: if the file cannot be written.
        """
        target = self.path(path)
        if target.suffix != ".safetensors":
            raise MnistzooError(f"{path} does not end in .safetensors; name the file so")
        if target.exists():
            _log.warning("replacing %s, which was there before", target)
        save_weights(self.model, target, self.provenance)
        return target
