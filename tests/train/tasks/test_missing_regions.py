"""A table with empty regions goes the whole way: trained, calibrated, measured on what is known, and reported."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.reporting import write_report
from lungsev.train.runs import open_run
from lungsev.train.tasks.severity import SeverityRunSettings, run_severity

DatasetMaker = Callable[[str], Path]
SettingsMaker = Callable[..., SeverityRunSettings]
EVERY_LOSS = {f"loss.{part}": 0.5 for part in ("cross_entropy", "expected_l1", "kappa", "corn", "total_l1")}


@pytest.fixture
def partly_graded(phantom_dataset: DatasetMaker, tmp_path: Path) -> Path:
    """The Inha phantom with three in ten grades empty, one image without any."""
    root = shutil.copytree(phantom_dataset("inha"), tmp_path / "mine")
    header, *rows = (root / "inha.csv").read_text().splitlines()
    generator, lines = np.random.default_rng(0), [header]
    for number, row in enumerate(rows):
        image, patient, *grades = row.split(",")
        kept = [grade if number and generator.random() > 0.3 else "" for grade in grades]
        lines.append(",".join([image, patient, *kept]))
    (root / "inha.csv").write_text("\n".join(lines))
    return root


@pytest.mark.slow
def test_a_third_of_the_regions_may_be_missing(
    partly_graded: Path, severity_settings: SettingsMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = {**EVERY_LOSS, "data.root": str(partly_graded), "balance": True, "mixup": 0.2, "data.split.test": 0.4}
    settings = severity_settings(overrides, layout="inha")
    run = open_run("custom", settings, out=partly_graded.parent / "run")
    metrics = run_severity(settings, run)
    said = capsys.readouterr().out
    assert "rows of inha.csv without a grade of any region, left out: 1 (ICU00001)" in said
    assert "images with regions that no reader graded" in said
    predictions = Predictions.load(run.path / "predictions-test.json")
    known = ~np.isnan(predictions.reference)
    assert 0 < known.sum() < known.size
    hits = predictions.grades()[known] == predictions.reference[known]
    text = json.dumps(metrics["results"]["test"])
    assert str(round(float(hits.mean()), 6))[:6] in text
    assert all(math.isfinite(epoch["train/loss"]) for epoch in run.history())
    page = write_report([run.path], run.path / "report", "partly graded")
    assert not re.search(r"\bnan\b", page.read_text().lower())
