from __future__ import annotations

import threading

import pytest

from lungsev.runtime.checks.parallel import run_side_by_side


def test_jobs_run_at_the_same_time_and_results_keep_their_order() -> None:
    meeting = threading.Barrier(3, timeout=20)  # passed only by three at once

    def meet(name: str) -> str:
        meeting.wait()
        return name

    assert run_side_by_side([lambda name=name: meet(name) for name in "abc"], 20) == ["a", "b", "c"]
    assert run_side_by_side([], 1) == []


def test_a_job_that_hangs_is_left_behind() -> None:
    end = threading.Event()
    assert run_side_by_side([lambda: end.wait(30), lambda: True], 0.05) == [None, True]
    end.set()


def test_an_error_of_a_job_is_raised() -> None:
    def fail() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run_side_by_side([fail], 20)
