from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import fake_triton
import numpy as np
import pytest

from lungsev.export.triton.config import PREPROCESS


def test_files_become_canvases_each_with_what_is_known_of_it(server: fake_triton.FakeServer, image: Path) -> None:
    files = np.array([[image.read_bytes()], [b"no image at all"]], dtype=object)
    outputs = server.infer(PREPROCESS, {"file": files})
    assert outputs["image"].shape == (2, 1, 512, 512)
    assert outputs["image"][0].any()
    assert not outputs["image"][1].any()
    known, refused = (json.loads(context) for context in outputs["context"].reshape(-1))
    assert known["frame"]["rows"] == 256
    assert refused["report"]["error"] == "not_dicom"


def test_a_worker_reads_from_its_start_to_its_end(
    server: fake_triton.FakeServer, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    recorder = SimpleNamespace(start=lambda: calls.append("start"), close=lambda: calls.append("close"))
    monkeypatch.setattr("lungsev.sandbox.client.Sandbox", lambda: recorder)
    step = fake_triton.load_step(repository / PREPROCESS / "1" / "model.py")()
    step.initialize(server.arguments(repository / PREPROCESS))
    assert calls == ["start"]
    step.finalize()
    assert calls == ["start", "close"]
