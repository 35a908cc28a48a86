"""NVIDIA's real lean runtime as the TensorRT of a device process, on a stand-in for CUDA.

It loads engines and builds none, and needs no other library: 46 MB from the package index. Its folder is on the path.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorrt_lean_bindings as trt
from fake_cuda import FakeDevice, bindings

from lungsev.inference.tensorrt import device_process, engine
from lungsev.inference.tensorrt.cache import CachedEngine
from lungsev.inference.tensorrt.engine import EngineTarget
from lungsev.inference.tensorrt.library import TensorRTLibrary


def install() -> None:
    """Let this process find a GPU, the lean runtime, and an engine that was compared."""
    library = TensorRTLibrary(trt, "tensorrt", trt.__version__, strongly_typed=True)

    def find(target: EngineTarget, *_proven: Any) -> tuple[CachedEngine, str]:
        plan = b"ftrt" + bytes(4096)
        return CachedEngine(Path("any.plan"), plan, target.key, 1.0, half_layers=1, layers=1, parity={}), ""

    engine.load_tensorrt = lambda *_flavour: library  # type: ignore[assignment]
    engine.count_devices = lambda: 1
    engine.open_driver = bindings(FakeDevice())
    device_process.find_engine = find
