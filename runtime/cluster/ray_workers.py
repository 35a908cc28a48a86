"""Workers of a Ray cluster: actors that score, and what happens to images whose worker ends.

Each actor has at most two images, so that one is fetched while the other is scored. When it ends, both are scored again
by a worker that has no other image; only an image that ends such a worker has used up an attempt.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lungsev import __version__
from lungsev.errors import BackendError, LungsevError, UnreadableImageError
from lungsev.model import Model
from lungsev.report import ModelInfo
from lungsev.runtime.cluster.ray_cluster import Demand, joined
from lungsev.runtime.cluster.rows import Row
from lungsev.runtime.cluster.run import Summary
from lungsev.runtime.cluster.scoring import failed_row, score_item
from lungsev.runtime.cluster.sources import Item, Source

ATTEMPTS = 3  # of an image that ends its worker
_IN_FLIGHT = 2
_PATIENCE_SECONDS = 60.0
_MOST_FAILURES = (
    5  # in a row, of workers that cannot be opened or whose device fails; more where there are more workers
)
_MOST_LOST_IMAGES = 20  # in a row: then it is not the images

log = logging.getLogger("lungsev.runtime.cluster")


@dataclass(frozen=True)
class Opened:
    """What a worker says of itself. `node`: Ray's name of its machine; `error`: why it cannot score."""

    process: int
    node: str = ""
    version: str = ""
    model: ModelInfo | None = None
    error: str = ""


class ScoringWorker:
    """The actor: an open model in a process of its own, on any machine of the cluster."""

    def __init__(self, sources: Sequence[Source], open_model: Callable[[], Model], with_report: bool) -> None:
        self._sources, self._open_model, self._with_report = sources, open_model, with_report
        self._turn = threading.Lock()
        self._logging = contextlib.ExitStack()

    def open(self) -> Opened:
        """Open the model."""
        import ray

        from lungsev.inference.cpus import limit_thread_pools
        from lungsev.runtime.logs import logging_to

        limit_thread_pools()
        # Ray keeps standard error: it gets no text of an error that quotes an image.
        self._logging.enter_context(logging_to(None, "warning"))
        node = ray.get_runtime_context().get_node_id()
        try:
            self._model = self._open_model()
        except LungsevError as error:
            return Opened(os.getpid(), node, error=str(error))
        return Opened(os.getpid(), node, __version__, self._model.info)

    def score(self, item: Item) -> Row | str:
        """Return the row of an image, or why the device failed."""
        try:
            return score_item(self._model, self._sources, item, self._with_report, self._turn)
        except BackendError as error:
            return str(error)


@dataclass
class _Task:
    item: Item
    attempts: int = 0
    alone: bool = False


@dataclass
class _Worker:
    actor: Any
    opening: Any
    opened: Opened | None = None
    tasks: dict[Any, _Task] = field(default_factory=dict)  # by Ray's reference of the answer


@dataclass
class RayPool:
    """Workers of a cluster, which is joined when there is something to score.

    Attributes:
        sources: All sources of the run.
        open_model: Opens the model of one worker; copied to it.
        bundle_sha256: That every worker's model must have.
        address, demand, jobs: As in `joined`.
        with_report: As in `make_row`.
        on_opened: Called with every worker that is ready.
    """

    sources: Sequence[Source]
    open_model: Callable[[], Model]
    bundle_sha256: str
    address: str
    demand: Demand
    jobs: int | None = None
    with_report: bool = False
    on_opened: Callable[[Opened], None] = lambda opened: None

    def score(self, items: Iterator[Item], summary: Summary) -> Generator[Row, None, None]:
        """Yield rows.

        Raises:
            LungsevError: The cluster cannot be joined, or its workers end or cannot score, whatever the image.
        """
        with joined(self.address, self.demand, self.jobs) as (ray, jobs):
            kind = ray.remote(
                num_cpus=self.demand.cpus, num_gpus=self.demand.gpus, max_restarts=0, max_concurrency=_IN_FLIGHT
            )(ScoringWorker)
            arguments = (list(self.sources), self.open_model, self.with_report)
            yield from _Run(self, ray, jobs, lambda: kind.remote(*arguments), items, summary).rows()


@dataclass
class _Run:
    """The state of one run.

    Attributes:
        again: Images whose worker ended through no fault of theirs.
        suspects: Images that may have ended their worker.
        failures: Workers in a row that could not score.
        lost_images: Images in a row that were given up.
    """

    pool: RayPool
    ray: Any
    jobs: int
    start: Callable[[], Any]
    items: Iterator[Item]
    summary: Summary
    workers: list[_Worker] = field(default_factory=list)
    again: deque[_Task] = field(default_factory=deque)
    suspects: deque[_Task] = field(default_factory=deque)
    is_listed: bool = False
    failures: int = 0
    lost_images: int = 0
    model: ModelInfo | None = None

    def rows(self) -> Iterator[Row]:
        try:
            while True:
                self._hire()
                self._assign()
                if self.is_listed and not any((self.again, self.suspects, *(worker.tasks for worker in self.workers))):
                    return
                yield from self._collect()
        finally:
            for worker in list(self.workers):
                self._dismiss(worker)

    def _hire(self) -> None:
        while len(self.workers) < self.jobs:
            actor = self.start()
            self.workers.append(_Worker(actor, actor.open.remote()))

    def _assign(self) -> None:
        for room in range(1, _IN_FLIGHT + 1):  # no worker gets a second image before each has one
            for worker in self.workers:
                if worker.opened is not None and len(worker.tasks) < room and (task := self._next(worker)):
                    worker.tasks[worker.actor.score.remote(task.item)] = task

    def _next(self, worker: _Worker) -> _Task | None:
        if any(task.alone for task in worker.tasks.values()):
            return None
        if self.suspects and not worker.tasks:
            return self.suspects.popleft()
        if self.again:
            return self.again.popleft()
        item = None if self.is_listed else next(self.items, None)
        self.is_listed = item is None
        return None if item is None else _Task(item)

    def _collect(self) -> Iterator[Row]:
        """Wait for one answer, not for ever."""
        owners = {worker.opening: worker for worker in self.workers if worker.opened is None}
        owners |= {reference: worker for worker in self.workers for reference in worker.tasks}
        found, _ = self.ray.wait(list(owners), num_returns=1, timeout=_PATIENCE_SECONDS)
        if not found:
            if not any(worker.opened for worker in self.workers):
                log.warning("no worker has started yet: perhaps the cluster has no room; `ray status` says more")
            return
        (ready,) = found
        worker = owners[ready]
        try:
            answer = self.ray.get(ready)
        except self.ray.exceptions.RayTaskError:
            raise  # a bug
        except self.ray.exceptions.RayError:
            yield from self._bury(worker)
            return
        if isinstance(answer, Opened):
            self._welcome(worker, answer)
        elif isinstance(answer, str):
            self._return(worker.tasks.values())
            self._dismiss(worker)
            self._note_failure(answer)
        else:
            del worker.tasks[ready]
            self.failures = self.lost_images = 0
            yield answer

    def _welcome(self, worker: _Worker, opened: Opened) -> None:
        wrong = opened.error
        if not wrong and opened.version != __version__:
            wrong = f"it has lungsev {opened.version}, this machine {__version__}: install the same on all"
        elif not wrong and (opened.model is None or opened.model.bundle_sha256 != self.pool.bundle_sha256):
            wrong = "it found another bundle at the same place: give all machines the same"
        if wrong:
            self._dismiss(worker)
            self._note_failure(f"a worker cannot score: {wrong}")
            return
        worker.opened, self.model = opened, opened.model
        self.summary.workers = max(self.summary.workers, sum(each.opened is not None for each in self.workers))
        self.pool.on_opened(opened)

    def _bury(self, worker: _Worker) -> Iterator[Row]:
        """Give the images of a worker that ended to others; yield those that were finished, or ended too many."""
        self.summary.deaths += 1
        lost = []
        for reference, task in worker.tasks.items():
            try:
                answer = self.ray.get(reference)
            except self.ray.exceptions.RayError:
                lost.append(task)
                continue
            if isinstance(answer, str):
                self._return([task])
            else:
                yield answer
        self._dismiss(worker)
        if worker.opened is None:
            self._note_failure("a worker ended while it opened the model, as it does when memory runs out")
        elif not self._is_alive(worker.opened.node):
            self._return(lost)
        else:
            yield from self._suspect(lost)

    def _return(self, tasks: Iterable[_Task]) -> None:
        for task in tasks:
            (self.suspects if task.alone else self.again).append(task)

    def _suspect(self, lost: list[_Task]) -> Iterator[Row]:
        for task in lost:
            task.attempts += len(lost) == 1
            if task.attempts < ATTEMPTS:
                task.alone = True
                self.suspects.append(task)
                continue
            self.lost_images += 1
            message = f"the worker ended while it scored this image, in {ATTEMPTS} attempts"
            yield failed_row(task.item, UnreadableImageError("worker_died", message), self.model, self.pool.with_report)
            if self.lost_images >= _MOST_LOST_IMAGES:
                raise LungsevError(
                    f"the last {self.lost_images} images each ended their worker {ATTEMPTS} times: look at the "
                    "memory of the workers and at the logs of Ray, then run the same command again"
                )

    def _note_failure(self, message: str) -> None:
        self.failures += 1
        if self.failures >= max(_MOST_FAILURES, self.jobs + 2):
            raise BackendError(f"{message}; that was so {self.failures} times in a row")

    def _is_alive(self, node: str) -> bool:
        return any(each["NodeID"] == node and each["Alive"] for each in self.ray.nodes())

    def _dismiss(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        with contextlib.suppress(Exception):  # it has ended already, or the cluster has
            self.ray.kill(worker.actor, no_restart=True)
