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
    before = torch.get_num_threads()
    threads.use_threads(None)
    assert (torch.get_num_threads(), threads.pool_threads()) == (before, threads.usable_cpus())
    threads.use_threads(3)
    assert (torch.get_num_threads(), cv2.getNumThreads(), threads.pool_threads()) == (3, 3, 3)


def test_a_schedulers_share_of_the_machine_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 64}, raising=False)
    assert threads.usable_cpus() == 3
    assert DataSettings().num_workers == 2
