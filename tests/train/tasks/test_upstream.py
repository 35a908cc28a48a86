"""Earlier stages are trained once for a folder of lungs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.train.runs import Run
from lungsev.train.tasks import upstream


def test_earlier_stages_are_trained_once_for_a_folder_of_lungs(
    phantom_dataset: Callable[[str], Path], cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def tiny(settings: object, run: Run) -> None:
        trained.append(run.path.parent.name)
        run.network.write_bytes(b"")
        run.write_metrics({})

    monkeypatch.setattr(upstream, "run_segmentation", tiny)
    monkeypatch.setattr(upstream, "run_alignment", tiny)
    lungs = str(phantom_dataset("lungs"))
    first = upstream.upstream_alignment(lungs)
    assert trained == ["segment", "align"]
    assert Run(first).settings()["segmentation"].startswith("runs/segment/")
    assert upstream.upstream_alignment(lungs) == first
    assert len(trained) == 2
