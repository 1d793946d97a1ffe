"""A checkpoint: one file from which a training run goes on, bit for bit."""

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Sequence
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from mnistzoo.data import Split
from mnistzoo.errors import MnistzooError
from mnistzoo.files import check_replaceable, expanded, replacing
from mnistzoo.recipe import Recipe
from mnistzoo.training.callbacks import Epoch
from mnistzoo.training.state import StateDict, TrainingState

_log = logging.getLogger("mnistzoo")
_FILE = "checkpoint.safetensors"
_FACTS, _SHA256 = "mnistzoo-checkpoint", "sha256"


class CheckpointError(MnistzooError):
    """A checkpoint is in the way, damaged, or of another run."""


class Checkpoint:
    """The file ``checkpoint.safetensors`` in a folder of its own.

    Args:
        folder: is created if it is not there.
        recipe: of the run.
        data: that the run trains on.
        device: that it runs on.
        model: that it trains.
        initial_weights: SHA-256 of the file that the model began with, if there is one.

    Raises:
        OSError: if the folder cannot be created, or nothing can be written there.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        recipe: Recipe,
        data: Split,
        device: torch.device,
        model: nn.Module,
        initial_weights: str = "",
    ) -> None:
        self.path = expanded(folder) / _FILE
        self._fails = False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        check_replaceable(self.path)
        pixels = hashlib.sha256(data.images.tobytes())
        pixels.update(data.labels.tobytes())
        # What the run is: another value is another run.
        self._run = {
            "recipe": json.loads(json.dumps(recipe.flat())),  # as the file will say it
            "training images (SHA-256)": pixels.hexdigest(),
            "device": device.type,
            "initial weights (SHA-256)": initial_weights or "none",
        }
        # The weights alone would not tell a net with another activation, or another dropout.
        self._layers = hashlib.sha256(repr(model).encode()).hexdigest()
        # What its last bits depend on.
        self._machine = {
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "processor": torch.cuda.get_device_name(device)
            if device.type == "cuda"
            else torch.backends.cpu.get_cpu_capability(),
        }

    def save(self, state: TrainingState, epochs: Sequence[Epoch]) -> None:
        """Replace the file, whole or not at all; where that fails, say so, and leave the old one.

        A full disk or a folder that went away must not cost the training: it goes on.

        Args:
            state: after the last of the epochs.
            epochs: to be remembered.
        """
        facts = {
            "run": self._run,
            "layers": self._layers,
            "machine": self._machine,
            "epochs": [dataclasses.asdict(each) for each in epochs],
        }
        tensors, text = state.tensors(), json.dumps(facts)
        metadata = {_FACTS: text, _SHA256: _sha256(tensors, text)}
        payload = safetensors.torch.save(tensors, metadata)
        try:
            with replacing(self.path) as stream:
                stream.write(payload)
        except OSError as error:
            if not self._fails:
                _log.warning(
                    "%s cannot be written after epoch %d (%s); the training goes on, and each "
                    "epoch tries again",
                    *(self.path, len(epochs), error.strerror),
                )
            self._fails = True
            return
        if self._fails:
            _log.info("%s is written again, after epoch %d", self.path, len(epochs))
        self._fails = False

    def require_absent(self) -> None:
        """Refuse to replace the checkpoint of an earlier run.

        Raises:
            CheckpointError: if there is one.
        """
        if self.path.exists():
            raise CheckpointError(
                f"{self.path} is there already; add --resume (resume=True) to go on from it, or "
                "name another folder"
            )

    def restore(self, state: TrainingState) -> list[Epoch]:
        """Put the state where the file left it, and return the epochs that it remembers.

        Raises:
            CheckpointError: if the file is damaged or of another run.
            OSError: if the file cannot be read.
        """
        run, layers, machine, epochs, tensors = self._read()
        if run != self._run:
            raise CheckpointError(
                f"{self.path} is of another run: {_difference(run, self._run)}; repeat that run's "
                "options, or name another folder"
            )
        of_another = CheckpointError(
            f"{self.path} is of another model, or of another version of mnistzoo; name the model "
            "that it was made for, or another folder"
        )
        if layers != self._layers or _shapes(tensors) != _shapes(state.tensors()):
            raise of_another
        if machine != self._machine:
            _log.warning(
                "%s was made with %s: the weights will differ in their last bits from those of a "
                "run that was never stopped",
                self.path,
                _difference(machine, self._machine),
            )
        try:
            state.restore(tensors)
        except (KeyError, ValueError) as error:
            raise of_another from error
        return epochs

    def _read(self) -> tuple[dict[str, Any], str, dict[str, Any], list[Epoch], StateDict]:
        """Return what the file holds, once its checksum is that of its content."""
        try:
            with safetensors.safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            text = metadata[_FACTS]
            if metadata[_SHA256] != _sha256(tensors, text):
                raise ValueError("its checksum is another")
            facts = json.loads(text)
            epochs = [Epoch(**each) for each in facts["epochs"]]
            run, machine = dict(facts["run"]), dict(facts["machine"])
            return run, facts["layers"], machine, epochs, tensors
        except FileNotFoundError:
            raise
        except (
            *(safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError),
            RecursionError,
        ) as error:
            raise CheckpointError(
                f"{self.path} is damaged or no checkpoint; delete it to start again"
            ) from error


def _sha256(tensors: StateDict, facts: str) -> str:
    content = hashlib.sha256(safetensors.torch.save(tensors))
    content.update(facts.encode())
    return content.hexdigest()


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    """Return those of all but the optimizer's, which may be there only after its first step."""
    return {
        name: tensor.shape for name, tensor in tensors.items() if not name.startswith("optimizer.")
    }


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return in words where two runs differ first."""
    for name in ours:
        if isinstance(ours[name], dict) and isinstance(theirs.get(name), dict):
            if theirs[name] != ours[name]:
                return f"{name} has {_difference(theirs[name], ours[name])}"
        elif theirs.get(name) != ours[name]:
            return f"{name} {theirs.get(name)}, not {ours[name]}"
    return "it holds more"
