"""Five runs that a report compares: another encoder, BS-Net, and three of the same network."""

from __future__ import annotations

import pytest
from report_runs import read_images, run

from lungsev.train.evaluation.reporting.run_report import RunReport

COUNTS = {"test": 12, "consensus": 9}


@pytest.fixture
def runs() -> list[RunReport]:
    parts = [{part: read_images(count, 0.5, seed, part=part) for part, count in COUNTS.items()} for seed in range(5)]
    return [
        run("CXR-CLIP", parts[0], {"encoder_weights": "clip/r18.pt"}, position_aware=False),
        run("BS-Net", parts[1], neck="bsnet", position_aware=False),
        run("SN", parts[2], position_aware=False),
        run("PAFE", parts[3], position_aware=True),
        run("mask attention", parts[4], position_aware=False, mask_attention=True),
    ]
