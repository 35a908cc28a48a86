"""Tiny phantom datasets and runs that the training tests share; networks too small to learn, but real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lungsev.config import load_model
from lungsev.phantom import write_dataset
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks.alignment import AlignSettings, run_alignment
from lungsev.train.tasks.segmentation import SegmentSettings, run_segmentation
from lungsev.train.tasks.severity import SeverityRunSettings

DatasetMaker = Callable[[str], Path]
IMAGES = {"brixia": 14, "cohen": 14, "inha": 12, "jsrt": 2}

TINY_SEGMENTATION = {
    "network.encoder": "mobilenetv3_small_050",
    "network.decoder_channels": [16, 8, 8, 8, 8],
    "network.size_px": 64,
    "network.pretrained": "none",
}
TINY_SEVERITY = {
    "network.backbone": "mobilenetv3_small_050",
    "network.crop_px": 64,
    "network.dim": 16,
    "network.pretrained": "none",
    "network.oversample": 1,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give trainings time: on a busy machine they take minutes."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def phantom_dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetMaker:
    """A small dataset in a published layout, made once per layout."""
    root = tmp_path_factory.mktemp("datasets")

    def make(layout: str) -> Path:
        folder = root / layout
        if not folder.exists():
            write_dataset(folder, layout, IMAGES.get(layout, 8), 0, size_px=None if layout == "jsrt" else 128)
        return folder

    return make


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _work_in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs land in ./runs: never in the project's."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _keep_denormals() -> Iterator[None]:
    """Undo what a training does to its process: hypothesis makes no floats where denormals are flushed to zero."""
    torch.set_flush_denormal(False)
    yield
    torch.set_flush_denormal(False)


def common(root: Path, cache: Path) -> dict[str, object]:
    """Overrides every tiny run shares."""
    return {
        "data.root": str(root),
        "data.cache": str(cache),
        "data.workers": 0,
        "loop.epochs": 1,
        "loop.batch_size": 4,
        "loop.accelerator": "cpu",
        "loop.loggers": [],
    }


@pytest.fixture(scope="session")
def segmentation_run(phantom_dataset: DatasetMaker, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    overrides = {**common(phantom_dataset("lungs"), cache_dir), **TINY_SEGMENTATION}
    settings = load_model(SegmentSettings, None, overrides)
    run = open_run("segment", settings, out=tmp_path_factory.mktemp("runs") / "segment")
    run_segmentation(settings, run)
    return run


@pytest.fixture(scope="session")
def alignment_run(
    segmentation_run: Run, phantom_dataset: DatasetMaker, cache_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    overrides = {**common(phantom_dataset("lungs"), cache_dir), "segmentation": str(segmentation_run.path)}
    overrides["network.input_px"] = 16
    settings = load_model(AlignSettings, None, overrides)
    run = open_run("align", settings, out=tmp_path_factory.mktemp("runs") / "align")
    run_alignment(settings, run)
    return run


@pytest.fixture
def severity_settings(
    alignment_run: Run, phantom_dataset: DatasetMaker, cache_dir: Path
) -> Callable[..., SeverityRunSettings]:
    """Settings of a tiny severity run; keyword `layout` chooses the dataset, the rest are dotted overrides."""

    def make(overrides: dict[str, object] | None = None, layout: str = "cohen") -> SeverityRunSettings:
        data = {**common(phantom_dataset(layout), cache_dir), **TINY_SEVERITY, "alignment": str(alignment_run.path)}
        return load_model(SeverityRunSettings, None, {**data, **(overrides or {})})

    return make
