"""A GPU that fails in the middle of a night costs no image an attempt: the CPU scores on, and the report says why."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from fake_gpu_child import FakeGpu, preload, use_gpu

from lungsev.bundle.archive import Bundle
from lungsev.inference import select
from lungsev.inference.select import DeviceOptions
from lungsev.inference.tensorrt import device_backend
from lungsev.inference.tensorrt.device_client import prepare_in_child
from lungsev.inference.tensorrt.settings import EngineSettings
from lungsev.model import Model, load
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.watcher import Watcher, prepare_folders

preload()


@pytest.mark.faults
@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("segfault", "SIGSEGV"),
        ("killed", "SIGKILL"),
        ("illegal access", "CUDA error 700"),
        ("nullptr", "nullptr"),
        ("nan", "NaN"),
        ("hang", "hung"),
    ],
)
def test_every_image_is_scored_once_whatever_the_device_does(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, reason: str
) -> None:
    (tmp_path / "events").mkdir()
    gpu = FakeGpu(tmp_path / "events").with_fault("run", how, after=3)  # the first run is the model's own probe
    monkeypatch.setattr(select, "why_no_gpu", lambda: "")
    use_gpu(gpu, monkeypatch)
    monkeypatch.setattr(device_backend, "INFER_SECONDS", 2.0)
    engine = EngineSettings(cache=tmp_path / "engines")
    prepare_in_child(tiny_bundle, engine)
    incoming, layout = tmp_path / "incoming", Layout(tmp_path / "out")
    incoming.mkdir()
    for seed in range(5):
        write_phantom_dicom(make_phantom(seed, size_px=512), incoming / f"{seed}.dcm")
    settings = BedsideSettings.model_validate(
        {"watch": {"scan_seconds": 0.05, "settle_seconds": 0, "min_free_mb": 0}, "outputs": ["json"]}
    )
    prepare_folders(incoming, layout, settings)

    def open_model() -> Model:
        device = DeviceOptions(engine, build=False, wait=True, service=True, on_change=watcher.health.set_backend)
        return load(tiny_bundle.path, "auto", 1, device=device)

    watcher = Watcher(incoming, layout, settings, open_model)
    watcher.run(threading.Event(), once=True)
    reports = [json.loads(path.read_text()) for path in layout.reports.glob("*.json")]
    assert len(reports) == 5
    assert all(report["status"] in ("scored", "skipped") for report in reports)
    assert sorted(report["model"]["backend"] for report in reports) == ["onnxruntime"] * 3 + ["tensorrt"] * 2
    for report in reports:
        expected = reason if report["model"]["backend"] == "onnxruntime" else "passed the comparison"
        assert expected in report["model"]["reason"]
    ledger = Ledger.open(layout.ledger)
    rows = [ledger.image(path.stem) for path in layout.reports.glob("*.json")]
    ledger.close()
    assert [row.attempts for row in rows if row is not None] == [1] * 5
    assert watcher.health.backend is not None
    assert watcher.health.backend.state == "failed"
    assert reason in watcher.health.backend.reason
