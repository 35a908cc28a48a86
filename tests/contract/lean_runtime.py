"""Load an engine with NVIDIA's real lean runtime, which builds nothing and needs no other library, through our runner.

Usage: lean_runtime.py FOLDER, that of the unpacked bindings and libraries.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [sys.argv[1], str(Path(__file__).parents[1])]

import tensorrt_lean_bindings as trt  # noqa: E402
from fake_cuda import FakeDevice, bindings  # noqa: E402

from lungsev.errors import BackendError  # noqa: E402
from lungsev.inference.tensorrt.library import TensorRTLibrary  # noqa: E402
from lungsev.inference.tensorrt.runner import TensorRTBackend  # noqa: E402

library = TensorRTLibrary(trt, "tensorrt", trt.__version__, strongly_typed=True)
print("loading", trt.__version__, flush=True)
try:
    TensorRTBackend(b"ftrt" + bytes(4096), library, 512, "fp16", open_device=bindings(FakeDevice()))
except BackendError as error:
    print(f"BackendError: {error}")
