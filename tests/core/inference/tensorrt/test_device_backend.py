"""An engine in a process of its own gives its numbers here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_gpu_child import FakeGpu, make_gpu, preload

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.tensorrt.device_backend import DeviceBackend
from lungsev.inference.tensorrt.device_client import UnpreparedError, prepare_in_child
from lungsev.inference.tensorrt.settings import EngineSettings

preload()


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    return make_gpu(tmp_path, monkeypatch)


def test_a_backend_needs_an_engine_and_gives_its_numbers(tiny_bundle: Bundle, gpu: FakeGpu, tmp_path: Path) -> None:
    settings = EngineSettings(cache=tmp_path)
    with pytest.raises(UnpreparedError, match="none is cached yet"):
        DeviceBackend(tiny_bundle, settings)
    prepare_in_child(tiny_bundle, settings)
    with DeviceBackend(tiny_bundle, settings) as backend:
        assert (backend.device, backend.precision) == ("Fake GPU", "fp32")
        outputs: Any = backend.infer(np.zeros((1, 1, 512, 512), np.float32))
        assert outputs["theta"].shape == (1, 2, 3)
        backend.transfer(np.zeros((1, 1, 512, 512), np.float32))
        assert (
            backend.layer_times(np.zeros((1, 1, 512, 512), np.float32), 2) == [("conv + relu", 1.5), ("head", 0.5)] * 2
        )
    with pytest.raises(BackendError, match="closed"):
        backend.infer(np.zeros((1, 1, 512, 512), np.float32))
