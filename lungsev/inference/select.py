"""Which backend runs a bundle: decided here, in one function, and refused with a reason."""

from __future__ import annotations

from lungsev.bundle import Bundle
from lungsev.errors import BackendError
from lungsev.inference.backend import Backend

BACKENDS = ("auto", "onnxruntime")


def open_backend(bundle: Bundle, backend: str = "auto", threads: int | None = None) -> Backend:
    """Open a backend by name; `auto` is the fastest one this machine has.

    Args:
        threads: CPU threads; None lets the backend choose.

    Raises:
        BackendError: The name is unknown or the backend cannot be opened here.
    """
    if backend in ("auto", "onnxruntime"):
        from lungsev.inference.onnx_backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend(bundle, threads=threads)
    raise BackendError(f"backend {backend!r} is unknown; choose one of {', '.join(BACKENDS)}")
