"""Several workers at once, in turns, none of which outlives the block that they work in."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from mnistzoo.workers.worker import Worker, WorkerFailed

INTERRUPTED = "interrupted"
MOST_ALIVE = 16  # workers that wait for their turn have memory too


class Crew:
    """Threads that each look after a worker; at the end of the block all workers are ended.

    Args:
        at_once: how many may compute at once.

    Attributes:
        pool: of the threads.
        dismissed: whether the workers were ended, or asked to come to their end.
    """

    def __init__(self, at_once: int) -> None:
        self.pool = ThreadPoolExecutor(MOST_ALIVE)
        self._at_once = at_once
        self._changed = threading.Condition()
        self._computing = self._waiting = 0
        self._alone = self.dismissed = False
        self._workers: set[Worker] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.dismiss()  # who waits for an answer of one gets none, and ends
        self.pool.shutdown(cancel_futures=True)

    @contextlib.contextmanager
    def worker(self, plugins: set[str], **options: Any) -> Iterator[Worker]:
        """Start a worker for a block.

        Raises:
            WorkerFailed: if it cannot be started, or all were dismissed.
        """
        with Worker(plugins, **options) as worker:
            with self._changed:
                self._require_work()
                self._workers.add(worker)
            try:
                yield worker
            finally:
                with self._changed:
                    self._workers.remove(worker)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Compute in the block, beside as many others as may.

        Raises:
            WorkerFailed: if all were dismissed.
        """
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(
                    lambda: self.dismissed or (self._computing < self._at_once and not self._alone)
                )
                self._require_work()
                self._computing += 1
            finally:
                self._waiting -= 1
        try:
            yield
        finally:
            with self._changed:
                self._computing -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def turn_alone(self) -> Iterator[None]:
        """Compute in the block, and nobody else does; those who can compute together go first.

        Raises:
            WorkerFailed: if all were dismissed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self.dismissed or not (self._alone or self._computing or self._waiting)
            )
            self._require_work()
            self._alone = True
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()

    def dismiss(self) -> None:
        """End all workers; none is started any more."""
        with self._changed:
            self.dismissed = True
            workers = list(self._workers)
            self._changed.notify_all()
        for worker in workers:
            worker.kill()

    def interrupt(self) -> None:
        """Ask all workers, as Ctrl-C would, to come to an end soon; none is started any more."""
        with self._changed:
            self.dismissed = True
            workers = list(self._workers)
            self._changed.notify_all()
        for worker in workers:
            worker.interrupt()

    def _require_work(self) -> None:
        if self.dismissed:
            raise WorkerFailed(INTERRUPTED)
