"""Earlier stages are trained once for a folder of lungs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def test_the_stages_prepare_images_with_the_cache_and_the_workers_of_the_command(
    phantom_dataset: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen = []

    def tiny(settings: Any, run: Run) -> None:
        seen.append((settings.data.cache, settings.data.workers))
        run.network.write_bytes(b"")
        run.write_metrics({})

    monkeypatch.setattr(upstream, "run_segmentation", tiny)
    monkeypatch.setattr(upstream, "run_alignment", tiny)
    upstream.upstream_alignment(str(phantom_dataset("lungs")), cache=tmp_path / "mine", workers=0)
    assert seen == [(tmp_path / "mine", 0)] * 2


def test_of_several_processes_the_main_one_trains_and_the_others_wait_for_it(
    phantom_dataset: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lungs = str(phantom_dataset("lungs"))
    worlds: list[str | None] = []

    def tiny(settings: object, run: Run) -> None:
        worlds.append(os.environ.get("WORLD_SIZE"))
        run.network.write_bytes(b"")
        run.write_metrics({})

    monkeypatch.setattr(upstream, "run_segmentation", tiny)
    monkeypatch.setattr(upstream, "run_alignment", tiny)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    found: list[Path] = []

    def main_process_works(_: float) -> None:
        with monkeypatch.context() as patch:
            patch.setenv("RANK", "0")
            found.append(upstream.upstream_alignment(lungs))

    monkeypatch.setattr(upstream.time, "sleep", main_process_works)
    assert upstream.upstream_alignment(lungs) == found[0]
    assert worlds == [None, None]  # it trained both by itself
