"""Runs checks side by side and waits for none of them longer than a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

Result = TypeVar("Result")


def run_side_by_side(jobs: Sequence[Callable[[], Result]], seconds: float) -> list[Result | None]:
    """Run jobs on threads of their own.

    Args:
        jobs: What to run; an exception of a job is raised here.
        seconds: How long to wait for all of them together.

    Returns:
        The result of each job; None for one that has not ended, for example on a share that hangs. It is left behind.
    """
    results: list[Result | None] = [None] * len(jobs)
    errors: list[BaseException] = []

    def run(place: int) -> None:
        try:
            results[place] = jobs[place]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(jobs))]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    if errors:
        raise errors[0]
    return list(results)
