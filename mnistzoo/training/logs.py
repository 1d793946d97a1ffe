"""Training runs written down while they go on: as CSV, for TensorBoard, and by what plugins add."""

import csv
import importlib
import logging
import operator
import os
from typing import TYPE_CHECKING, Any, Literal

from mnistzoo.errors import MnistzooError, reason
from mnistzoo.files import expanded
from mnistzoo.missing import check_extra
from mnistzoo.registry import log_factory
from mnistzoo.training.callbacks import Callback, Epoch, Start

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from mnistzoo.training.result import TrainingResult

_FIGURES = ("loss", "learning_rate", "validation_accuracy", "seconds")
_log = logging.getLogger("mnistzoo")


class LogError(MnistzooError):
    """A log of a training run cannot be kept."""


def create_log(kind: str, target: str) -> Callback:
    """Return the callback that keeps a log of a training run.

    Args:
        kind: ``"csv"``, ``"tensorboard"``, or a name that a plugin registered.
        target: where to, as the kind takes it; for the first two a folder, which is created.

    Raises:
        UnknownNameError: if there is no such kind.
        LogError: if a plugin's cannot be created.
        MissingModuleError: for ``"tensorboard"`` without the extra of that name.
        OSError: if the folder cannot be created.
    """
    own = {"csv": CsvLog, "tensorboard": TensorBoardLog}
    if kind in own:
        return own[kind](target)
    factory, plugin = log_factory(kind)
    module, _, attribute = factory.partition(":")
    try:
        callback = operator.attrgetter(attribute)(importlib.import_module(module))(target)
        if not isinstance(callback, Callback):
            raise TypeError(f"it returns {type(callback).__name__}, expected mnistzoo.Callback")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a plugin must not end the zoo
        raise LogError(
            f"the log {kind}:{target} of {plugin.provider} cannot be kept: {reason(error)}"
        ) from error
    return callback


class CsvLog(Callback):
    """Writes a line an epoch into ``FOLDER/MODEL-seedN.csv``, to be read while the run goes on.

    A run that is resumed adds its lines; another run of the same model and seed begins anew.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = expanded(folder)
        self._folder.mkdir(parents=True, exist_ok=True)

    def on_train_begin(self, start: Start) -> None:
        """Begin the file."""
        self._path = self._folder / f"{_run(start)}.csv"
        if not (start.epochs_done and self._path.exists()):
            self._write("w", ("epoch", *_FIGURES))

    def on_epoch_end(self, epoch: Epoch) -> None:
        """Write the epoch's line; without a validation split a cell of it is empty."""
        try:
            self._write("a", (epoch.number, *(getattr(epoch, name) for name in _FIGURES)))
        except OSError as error:  # hours of training are worth more than their log
            _log.warning("%s lacks epoch %d: %s", self._path, epoch.number, error.strerror)

    def _write(self, mode: Literal["w", "a"], cells: tuple[Any, ...]) -> None:
        with self._path.open(mode, encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerow(cells)


class TensorBoardLog(Callback):
    """Writes the figures of each epoch for TensorBoard into the folder ``FOLDER/MODEL-seedN``.

    ``tensorboard --logdir FOLDER`` shows the runs side by side.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        check_extra("tensorboard", ("tensorboard",), f"--log tensorboard:{folder}")
        self._folder = expanded(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._writer: SummaryWriter | None = None

    def on_train_begin(self, start: Start) -> None:
        """Begin a file of events; later ones in the same folder continue it."""
        from torch.utils.tensorboard import SummaryWriter  # needs the extra, and seconds

        self._writer = SummaryWriter(self._folder / _run(start))
        settings = (f"    {name} = {value}" for name, value in start.recipe.flat().items())
        self._writer.add_text("recipe", "\n".join(settings))  # indented: Markdown leaves it so

    def on_epoch_end(self, epoch: Epoch) -> None:
        """Write the epoch's figures."""
        assert self._writer is not None
        for name in _FIGURES:
            if (figure := getattr(epoch, name)) is not None:
                self._writer.add_scalar(name, figure, epoch.number)
        self._writer.flush()

    def on_train_end(self, result: "TrainingResult | None") -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


def _run(start: Start) -> str:
    """Return what tells a run from the others in a folder."""
    return f"{start.model}-seed{start.recipe.seed}"
