"""A card without kernels is refused, and a machine without a GPU says so."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_cuda import FakeDevice, bindings
from fake_tensorrt import make_fake_tensorrt

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.tensorrt.library import describe_library
from lungsev.inference.tensorrt.prepare import open_tensorrt
from lungsev.inference.tensorrt.runner import TensorRTBackend
from lungsev.inference.tensorrt.settings import EngineSettings


@pytest.fixture
def rtx(device: FakeDevice) -> Any:
    module = make_fake_tensorrt(device, version="1.7.1")
    module.ComputeCapability = SimpleNamespace(__members__={"NONE": 0, "CURRENT": 1, "SM75": 75, "SM120": 120})
    return module


def test_a_card_it_has_no_kernels_for_is_refused_before_a_build(
    tiny_bundle: Bundle, device: FakeDevice, rtx: Any, tmp_path: Path
) -> None:
    library = describe_library(rtx, "tensorrt_rtx")
    with pytest.raises(BackendError, match=r"does not run on Fake GPU \(compute capability .*expected 7\.5, 12\.0"):
        open_tensorrt(tiny_bundle, EngineSettings(cache=tmp_path), library=library, open_device=bindings(device))
    assert rtx.builds == 0
    assert device.is_clean


def test_why_a_plan_is_not_valid_here_is_said_in_words(rtx: Any, device: FakeDevice) -> None:
    rtx.EngineValidity = SimpleNamespace(INVALID=2)
    rtx.EngineInvalidityDiagnostics = SimpleNamespace(
        __members__={"VERSION_MISMATCH": 1, "UNSUPPORTED_CC": 2, "MALFORMED_ENGINE": 32}
    )
    rtx.Runtime.get_engine_validity = lambda _self, plan: (2, 34 if plan else 0)
    library = describe_library(rtx, "tensorrt_rtx")
    for plan, words in ((b"foreign", "unsupported cc, malformed engine"), (b"", "it gives no reason")):
        with pytest.raises(BackendError, match=words):
            TensorRTBackend(plan, library, 512, "fp16", open_device=bindings(device))
    assert device.is_clean
