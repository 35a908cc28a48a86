"""Pre-training on findings: official parts, masked losses, and an area for each finding that was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lungsev.config import load_model
from lungsev.errors import ConfigError
from lungsev.train.data.splits import Split
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks import pretraining
from lungsev.train.tasks.pretraining import PretrainSettings, run_pretraining

DatasetMaker = Callable[[str], Path]


def settings(root: Path, cache: Path, alignment: Run) -> PretrainSettings:
    overrides = {
        "network.backbone": "mobilenetv3_small_050",
        "network.crop_px": 32,
        "network.pretrained": "none",
        "network.oversample": 1,
        "data.root": str(root),
        "data.cache": str(cache),
        "alignment": str(alignment.path),
        "augmentations": 2,
        "loop.epochs": 1,
        "loop.batch_size": 4,
        "loop.accelerator": "cpu",
        "loop.loggers": [],
    }
    return load_model(PretrainSettings, None, overrides)


def test_findings_are_trained_and_measured_in_the_official_parts(
    phantom_dataset: DatasetMaker, alignment_run: Run, cache_dir: Path, tmp_path: Path
) -> None:
    chosen = settings(phantom_dataset("vindr"), cache_dir, alignment_run)
    run = open_run("pretrain", chosen, out=tmp_path / "run")
    metrics = run_pretraining(chosen, run)
    split = Split.load(run.splits)
    assert metrics["split"]["protocol"] == split.protocol == "column"
    assert metrics["test"]["images"] == len(split.parts["test"]) == 1
    assert (
        set(metrics["test"]["findings"])
        == set(metrics["classes"])
        <= {
            "Lung Opacity",
            "Pneumonia",
            "Consolidation",
            "Infiltration",
        }
    )
    assert run.is_finished


def test_crops_that_would_not_fit_name_a_number_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining, "BANK_LIMIT_BYTES", 2**20)
    with pytest.raises(ConfigError, match=r"the crops of 100 images would take .* --set subsample=5"):
        pretraining._empty(np.zeros((100, 1), np.float32), 3, PretrainSettings())
