"""A quick bench: no quiet second, and a peak that is set rather than measured."""

from __future__ import annotations

import pytest

from lungsev.runtime.benchmark import drop, load, measure
from lungsev.runtime.benchmark.peaks import Peak

SET_PEAK = Peak(50.0, 50.0, 20.0, "set by the test")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(measure, "measure_cpu_peak", lambda _threads: SET_PEAK)
    monkeypatch.setattr(drop, "_QUIET_SECONDS", 0.05)
