"""Threads of this process that score, each with a model of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import TypeVar

from lungsev.model import Model

Result = TypeVar("Result")


def completed(
    tasks: Iterable[Callable[[Model], Result]], open_model: Callable[[], Model], jobs: int
) -> Generator[Result, None, None]:
    """Yield results as they come. Every thread opens, uses and closes its own model: a GPU is bound to its thread.

    Few tasks wait at any time, so what makes them does not run far ahead of the scoring.

    Raises:
        Exception: What a task or `open_model` raises; tasks that wait are not begun.
    """
    todo: queue.SimpleQueue[Callable[[Model], Result] | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[Result | _Failure] = queue.SimpleQueue()

    def work() -> None:
        try:
            with open_model() as model:
                while (task := todo.get()) is not None:
                    done.put(task(model))
        except BaseException as error:
            done.put(_Failure(error))

    threads = [threading.Thread(target=work, name="score") for _ in range(jobs)]
    for thread in threads:
        thread.start()
    waiting = 0
    try:
        for task in tasks:
            todo.put(task)
            waiting += 1
            if waiting > 2 * jobs:
                yield _result(done)
                waiting -= 1
        for _ in range(waiting):
            yield _result(done)
    finally:
        with suppress(queue.Empty):
            while True:  # after an error, or when the caller has had enough, what waits is not begun
                todo.get_nowait()
        for _ in threads:
            todo.put(None)
        for thread in threads:
            thread.join()


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


def _result(done: queue.SimpleQueue[Result | _Failure]) -> Result:
    result = done.get()
    if isinstance(result, _Failure):
        raise result.error
    return result
