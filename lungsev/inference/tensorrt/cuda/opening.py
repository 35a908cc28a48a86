"""Choice of the CUDA binding: pycuda where it is installed, else cuda-bindings."""

from __future__ import annotations

import ctypes
import importlib
import logging

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.cuda.bindings import CudaBindingsDriver
from lungsev.inference.tensorrt.cuda.driver import CudaDriver
from lungsev.inference.tensorrt.cuda.pycuda import PycudaDriver

log = logging.getLogger("lungsev.tensorrt")


def open_driver() -> CudaDriver:
    """Open device 0 with the binding that is installed.

    Raises:
        BackendError: No binding, no driver or no device.
    """
    failures = []
    for package, name, kind in (
        ("pycuda", "pycuda.driver", PycudaDriver),
        ("cuda-bindings", "cuda.bindings.driver", CudaBindingsDriver),
    ):
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:
            if not isinstance(error, ModuleNotFoundError):  # built for another CUDA, or no driver
                failures.append(f"{package} is installed but cannot be loaded ({error}); install it again")
            continue
        if failures:
            log.warning("%s is used: %s", package, failures[0])
        return kind(module)
    raise BackendError(
        "; ".join(failures)
        or 'TensorRT needs pycuda or cuda-bindings to reach the GPU: pip install "lungsev[pycuda]" or '
        '"lungsev[tensorrt]", or run with --backend onnxruntime'
    )


def count_devices() -> int:
    """Count the GPUs that the NVIDIA driver shows; 0 without a driver. Creates no context."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
