"""Rows of a comparison, each measured in a worker: the labels, and the counting, stay here."""

import contextlib
import dataclasses
import itertools
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mnistzoo.calibration import Calibration
from mnistzoo.data import Dataset
from mnistzoo.errors import MnistzooError, one_line, reason
from mnistzoo.evaluation import REPEATS, Evaluation, RepeatedEvaluation
from mnistzoo.files import expanded
from mnistzoo.measure import LATENCY_THREADS
from mnistzoo.measuring import Run, job_of, of_runs, save_run
from mnistzoo.models import is_file
from mnistzoo.provenance import Provenance
from mnistzoo.recipe import Recipe
from mnistzoo.registry import Registration, Registry, find
from mnistzoo.reliability import Probes, measure
from mnistzoo.rows import Measurement, TrainingPlan
from mnistzoo.training import Epoch, TrainingResult
from mnistzoo.weights import StoredWeights, to_bytes
from mnistzoo.workers.crew import INTERRUPTED, Crew
from mnistzoo.workers.worker import Limits, ServerEnded, Worker, WorkerFailed

_log = logging.getLogger("mnistzoo")
_TIDY_SECONDS = 10  # in which interrupted trainings come to an end, and their weights are saved
_MOST_FIGURE = 2.0**63
_MOST_TEXT = 1_000  # characters of a name, or of a runtime
_MOST_LINES = 10_000  # of a training, beside those of its epochs
_MOST_UNKNOWN = 10**7  # numbers that a model of an unknown size may have learned
_MOST_BESIDE_PARAMETERS = 2**26  # bytes of buffers, names and so on in trained weights

Report = Callable[[Measurement], None]


@dataclass
class Outcome:
    """What came of one model.

    Attributes:
        measurement: what was had.
        error: why figures are missing, in one sentence.
    """

    measurement: Measurement | None = None
    error: str | None = None


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        name: of a model, or the path of a file.
        registration: of the model; None for an ``.onnx`` file, which needs no plugin.
    """

    name: str
    registration: Registration | None

    @property
    def stochastic(self) -> bool:
        """Whether it draws random numbers in evaluation."""
        return self.registration is not None and self.registration.spec.stochastic


class Rows:
    """Measures models of installed plugins, and files, each in a worker.

    Args:
        known: all models; what one is made of is found there.
        data: whose test images are classified, or whose training images are trained on.
        device: to compute on.
        limits: of each worker.
        probes: that the reliability of each is measured on, if any.
        show_progress: in the log and on stderr.
    """

    def __init__(
        self,
        known: Registry[Registration],
        data: Dataset,
        *,
        device: torch.device,
        limits: Limits,
        probes: Probes | None,
        show_progress: bool,
    ) -> None:
        self._known, self._data, self._device = known, data, device
        self._limits, self._probes, self._show_progress = limits, probes, show_progress

    def evaluated(self, chosen: Sequence[Subject], outcomes: Sequence[Outcome]) -> None:
        """Evaluate and time shipped models: accuracies several at once, timings strictly alone.

        Args:
            chosen: the models and files.
            outcomes: of each; is filled as more is known of it.

        Raises:
            KeyboardInterrupt: on Ctrl-C.
        """
        cores = len(os.sched_getaffinity(0)) if self._device.type == "cpu" else 1
        at_once = max(1, min(cores, len(chosen)))
        threads = max(1, cores // at_once)
        with Crew(at_once) as crew:
            futures = [
                crew.pool.submit(self._evaluate, crew, threads, *each)
                for each in zip(chosen, outcomes, strict=True)
            ]
            ended = [future.result() for future in futures]
        # Again, each beside nobody: whoever ends the process that all come from costs itself alone.
        for subject, outcome in itertools.compress(zip(chosen, outcomes, strict=True), ended):
            with Crew(1) as crew:
                self._evaluate(crew, cores, subject, outcome)

    def _evaluate(self, crew: Crew, threads: int, subject: Subject, outcome: Outcome) -> bool:
        """Fill the outcome; return whether the server ended meanwhile."""
        outcome.measurement = outcome.error = None
        name = subject.name
        try:
            with contextlib.ExitStack() as until_timed:
                with crew.turn():
                    if self._show_progress:
                        _log.info("evaluating and timing %s", name)
                    worker = until_timed.enter_context(
                        self._worker(crew, subject.registration, threads)
                    )
                    task = {
                        "task": "evaluate",
                        "model": str(expanded(name).absolute()) if is_file(name) else name,
                        "is_file": is_file(name),
                        "stochastic": subject.stochastic,
                        "device": str(self._device),
                        "data": self._data.to_dict(),
                    }
                    worker.send(task, self._data.test.images)
                    found = Measurement(self._evaluation(worker, subject.stochastic).evaluations)
                    outcome.measurement = found
                    found, shipped = _with_origin(worker, found)
                    outcome.measurement = found
                    outcome.measurement = found = _with_size(worker, found)
                    outcome.measurement = found = self._with_reliability(worker, found, shipped)
                    worker.pause()
                with crew.turn_alone():
                    worker.resume()
                    for step in _timed(worker, found):
                        outcome.measurement = step
        except Exception as error:  # whatever a worker's answers lead to costs its row alone
            _log.debug("a model failed", exc_info=True)
            outcome.error = INTERRUPTED if crew.dismissed else reason(error)
            return isinstance(error, ServerEnded) and not crew.dismissed
        return False

    def trained(
        self, registration: Registration, plan: TrainingPlan, folder: Path | None
    ) -> Iterator[Measurement]:
        """Train a model, each seed in a worker, side by side where the cores allow it; measure it.

        The runs end with the weights that they would have had one after the other, bit for bit.

        Yields:
            What is known of the model, each time that more is.

        Raises:
            KeyboardInterrupt: on Ctrl-C, once the weights of the last complete epochs are saved.
            MnistzooError: if a run fails, once those beside it have come to their end.
        """
        recipes = plan.recipes(registration.spec)
        threads = recipes[0].threads or plan.cores
        at_once = 1
        if self._device.type == "cpu":
            at_once = max(1, min(len(recipes), plan.cores // threads))
        with Crew(at_once) as crew, contextlib.ExitStack() as until_timed:

            def run(recipe: Recipe) -> tuple[Run, Worker]:
                with crew.turn(), contextlib.ExitStack() as until_here:
                    worker = until_here.enter_context(
                        self._worker(crew, registration, threads, recipe)
                    )
                    done = self._run(worker, registration, plan, recipe, folder)
                    if recipe is recipes[0]:  # its model is timed later
                        worker.pause()
                        until_timed.push(until_here.pop_all())
                    return done, worker

            runs: dict[int, Run] = {}
            found, to_time = Measurement(), None
            for recipe, future in _as_they_end(crew, run, recipes, at_once):
                try:
                    runs[recipe.seed], worker = future.result()
                except MnistzooError as error:
                    if runs:
                        yield dataclasses.replace(found, seed_failed=True)
                    raise WorkerFailed(
                        f"seed {recipe.seed}: {reason(error)}"
                        if len(recipes) > 1
                        else reason(error)
                    ) from error
                to_time = worker if recipe is recipes[0] else to_time
                yield (found := of_runs(runs))
            assert to_time is not None
            to_time.resume()
            to_time.send({"go": True})
            model = runs[recipes[0].seed][0].model
            yield (found := dataclasses.replace(found, file_bytes=len(to_bytes(model, {}))))
            yield (found := _with_size(to_time, found))
            yield (found := self._with_reliability(to_time, found))
            yield from _timed(to_time, found)

    def _run(
        self,
        worker: Worker,
        registration: Registration,
        plan: TrainingPlan,
        recipe: Recipe,
        folder: Path | None,
    ) -> Run:
        """Have a model trained, save its weights, and evaluate it."""
        job = job_of(registration, plan, recipe, self._data, self._device)
        task = {"task": "train", "job": dataclasses.asdict(job), "data": self._data.to_dict()}
        worker.send(task | {"show_progress": self._show_progress}, self._data.test.images)
        most = 64 * (registration.spec.num_params or _MOST_UNKNOWN) + _MOST_BESIDE_PARAMETERS
        most_signs = 2 * recipe.epochs * len(self._data.train_and_validation) + _MOST_LINES
        facts, arrays = worker.receive(most, most_signs)
        try:
            weights = StoredWeights(arrays[0].tobytes())
            history = [Epoch(**each) for each in facts["history"]]
            provenance = Provenance.from_dict(facts["provenance"])
            stopped = str(facts["stopped"])
        except Exception as error:  # whatever a worker may have sent
            raise WorkerFailed("its process answered with no result of a training") from error
        result = TrainingResult(weights, history, recipe, provenance)
        if history:
            save_run(registration, plan, folder, result)  # before an evaluation that may fail
        if stopped:
            raise WorkerFailed(stopped)
        evaluation = self._evaluation(worker, registration.spec.stochastic)
        save_run(registration, plan, folder, result.with_test(evaluation))
        return result, evaluation

    @contextlib.contextmanager
    def _worker(
        self,
        crew: Crew,
        registration: Registration | None,
        threads: int,
        recipe: Recipe | None = None,
    ) -> Iterator[Worker]:
        """Start a worker that may load the model's plugin, those of its members, its teacher's."""
        plugins = set() if registration is None else plugins_of(registration, self._known, recipe)
        with crew.worker(plugins, threads=threads, limits=self._limits, on_line=_print) as worker:
            yield worker

    def _evaluation(self, worker: Worker, stochastic: bool) -> Evaluation | RepeatedEvaluation:
        """Count what a worker says of the test images, once or, of a stochastic model, often."""
        if stochastic:
            return RepeatedEvaluation([self._counted(worker) for _ in range(REPEATS)])
        return self._counted(worker)

    def _counted(self, worker: Worker) -> Evaluation:
        labels, classes = self._data.test.labels, self._data.classes
        return Evaluation.from_logits(self._logits(worker, len(labels)), labels, classes)

    def _with_reliability(
        self, worker: Worker, found: Measurement, shipped: Calibration | None = None
    ) -> Measurement:
        """Have a worker classify the probes, if any were asked for, and count."""
        if self._probes is None:
            return found

        def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            worker.send({}, images)
            return self._logits(worker, len(images))

        return dataclasses.replace(found, reliability=measure(logits, self._probes, shipped))

    def _logits(self, worker: Worker, images: int) -> NDArray[np.float32]:
        _, arrays = worker.receive(4 * len(self._data.classes) * images, images)
        if len(arrays) != 1 or arrays[0].dtype != "float32":
            raise WorkerFailed("its process answered with no logits")
        return arrays[0]


def plugins_of(
    registration: Registration, known: Registry[Registration], recipe: Recipe | None = None
) -> set[str]:
    """Return the distributions that a model needs: its own, its members' and its teacher's.

    Raises:
        ModelError: if a member, or the recipe's teacher, is not there.
    """
    needed = [registration]
    if recipe is not None and recipe.distillation is not None:
        needed.append(find(known, recipe.distillation.teacher))
    for each in list(needed):
        needed += [find(known, member) for member in each.spec.members]
    return {each.plugin.distribution for each in needed}


def _as_they_end(
    crew: Crew,
    run: Callable[[Recipe], tuple[Run, Worker]],
    recipes: Sequence[Recipe],
    at_once: int,
) -> Iterator[tuple[Recipe, Future[tuple[Run, Worker]]]]:
    """Yield the runs as they end, those that failed last; after a failure none is begun."""
    waiting, failed = list(recipes), list[tuple[Recipe, Future[tuple[Run, Worker]]]]()
    running: dict[Future[tuple[Run, Worker]], Recipe] = {}
    try:
        while running or (waiting and not failed):
            while waiting and not failed and len(running) < at_once:
                recipe = waiting.pop(0)
                running[crew.pool.submit(run, recipe)] = recipe
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                recipe = running.pop(future)
                if future.exception() is not None:
                    failed.append((recipe, future))
                else:
                    yield recipe, future
        yield from failed[:1]
    except KeyboardInterrupt:
        crew.interrupt()
        wait(running, timeout=_TIDY_SECONDS)
        raise


def _with_origin(worker: Worker, found: Measurement) -> tuple[Measurement, Calibration | None]:
    """Return it with what the files of the weights tell, and the calibration shipped with them."""
    facts, _ = worker.receive()
    hashes, told, shipped = map(facts.get, ("weights_sha256", "provenance", "calibration"))
    if not isinstance(hashes, dict) or not isinstance(told, dict | None):
        raise WorkerFailed("its process does not tell where its weights come from")
    try:
        provenance = None if told is None else Provenance.from_dict(told).to_dict()
        calibration = None if shipped is None else Calibration(**shipped)
    except (TypeError, ValueError) as error:
        raise WorkerFailed(
            f"its process answered with no provenance or calibration ({one_line(str(error))})"
        ) from error
    origin = dataclasses.replace(
        found,
        file_bytes=int(_figure(facts, "file_bytes")),
        weights_sha256={_text(name): _text(each) for name, each in hashes.items()},
        provenance=provenance,
        held_out=facts.get("held_out") is True,
    )
    return origin, calibration


def _with_size(worker: Worker, found: Measurement) -> Measurement:
    facts, _ = worker.receive()
    params, buffers, products = (
        None if facts.get(name) is None else int(_figure(facts, name))
        for name in ("params", "buffers", "multiply_adds")
    )
    return dataclasses.replace(
        found,
        params=params,
        buffers=buffers,
        multiply_adds=products,
        runtime=_text(facts.get("runtime")),
    )


def _timed(worker: Worker, found: Measurement) -> Iterator[Measurement]:
    worker.send({"go": True})
    one = _figure(worker.receive()[0], "latency_us")
    yield (found := dataclasses.replace(found, latency_us=one, latency_threads=LATENCY_THREADS))
    many = _figure(worker.receive()[0], "latency_256_us")
    yield dataclasses.replace(found, latency_256_us=many)


def _figure(facts: Mapping[str, Any], name: str) -> float:
    number: Any = facts.get(name)
    if type(number) not in (int, float) or not 0 <= number < _MOST_FIGURE:
        raise WorkerFailed(f"its process answered with no {name}")
    return float(number)


def _text(said: object) -> str:
    return one_line(str(said)[:_MOST_TEXT])


def _print(line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
