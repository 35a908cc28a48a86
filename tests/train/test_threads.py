"""One number decides how many threads this process has; without it nothing changes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import cv2
import pytest
import torch

from lungsev.train import threads
from lungsev.train.settings import DataSettings


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads(), cv2.getNumThreads()
    monkeypatch.setattr(threads, "_count", None)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def test_torch_opencv_and_the_pools_get_as_many_as_are_asked_for(as_before: None) -> None:
    torch.set_num_threads(1)
    threads.use_threads(None)
    assert (torch.get_num_threads(), threads.pool_threads()) == (1, threads.usable_cpus())
    threads.use_threads(3)
    assert (torch.get_num_threads(), cv2.getNumThreads(), threads.pool_threads()) == (3, 3, 3)


def test_a_schedulers_share_of_the_machine_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 64}, raising=False)
    assert DataSettings().num_workers == 2


def test_torch_starts_no_more_threads_than_a_container_may_use(
    as_before: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(4)
    monkeypatch.setattr(threads, "usable_cpus", lambda: 2)
    threads.use_threads(None)
    assert (torch.get_num_threads(), threads.pool_threads()) == (2, 2)
    assert cv2.getNumThreads() <= 2
    threads.use_threads(3)
    threads.use_threads(None)
    assert (torch.get_num_threads(), threads.pool_threads()) == (3, 3)
