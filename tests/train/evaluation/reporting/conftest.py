"""Five runs that a report compares: another encoder, BS-Net, and three of the same network."""

from __future__ import annotations

import pytest
from graded_runs import predictions, run

from lungsev.train.evaluation.reporting import tables
from lungsev.train.evaluation.reporting.load import RunReport


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[RunReport]:
    monkeypatch.setattr(tables, "RESAMPLES", 30)
    parts = [{"test": predictions(12, seed), "consensus": predictions(9, seed + 10)} for seed in range(5)]
    return [
        run("CXR-CLIP", parts[0], {"encoder_weights": "clip/r18.pt"}, position_aware=False),
        run("BS-Net", parts[1], neck="bsnet", position_aware=False),
        run("SN", parts[2], position_aware=False),
        run("PAFE", parts[3], position_aware=True),
        run("mask attention", parts[4], position_aware=False, mask_attention=True),
    ]
