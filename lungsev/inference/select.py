"""Choice of the backend that runs a bundle."""

from __future__ import annotations

import logging
from importlib.util import find_spec

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.backend import Backend

log = logging.getLogger("lungsev.inference")

BACKENDS = ("auto", "onnxruntime", "tensorrt", "openvino")


def open_backend(bundle: Bundle, backend: str = "auto", threads: int | None = None) -> Backend:
    """Open a backend by name; `auto` is TensorRT where there is a GPU and a library, else ONNX Runtime.

    A machine that has both but cannot use them falls back to ONNX Runtime with a warning.

    Args:
        bundle: What to run.
        backend: One of BACKENDS.
        threads: CPU threads; None lets the backend choose. The GPU ignores it.

    Raises:
        BackendError: The name is unknown or the backend cannot be opened here.
    """
    if backend == "auto":
        return _open_fastest(bundle, threads)
    if backend == "onnxruntime":
        from lungsev.inference.onnxruntime import OnnxRuntimeBackend

        return OnnxRuntimeBackend(bundle, threads=threads)
    if backend == "tensorrt":
        from lungsev.inference.tensorrt.prepare import open_tensorrt

        return open_tensorrt(bundle)
    if backend == "openvino":
        from lungsev.inference.openvino import OpenVinoBackend

        return OpenVinoBackend(bundle, threads=threads)
    raise BackendError(f"backend {backend!r} is unknown; choose one of {', '.join(BACKENDS)}")


def _open_fastest(bundle: Bundle, threads: int | None) -> Backend:
    if find_spec("tensorrt") is not None or find_spec("tensorrt_rtx") is not None:
        from lungsev.inference.tensorrt.cuda import count_devices

        if count_devices() > 0:
            try:
                return open_backend(bundle, "tensorrt", threads)
            except BackendError as error:
                log.warning("TensorRT cannot be used, running on the CPU instead: %s", error)
    return open_backend(bundle, "onnxruntime", threads)
