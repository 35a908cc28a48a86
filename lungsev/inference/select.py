"""Choice of the backend that runs a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError, LungsevError
from lungsev.inference.backend import Backend
from lungsev.inference.status import BackendStatus, describe_backend
from lungsev.inference.tensorrt.hardware import has_nvidia_gpu
from lungsev.inference.tensorrt.settings import AUTOMATIC, EngineSettings

BACKENDS = ("auto", "onnxruntime", "tensorrt", "openvino", "bfloat16")

_CHOSEN = "chosen by name"


@dataclass(frozen=True)
class DeviceOptions:
    """How the GPU is used where there is one.

    Attributes:
        engine: How engines are built and where they are kept.
        build: Build an engine where there is none; None does so for a service, and where TensorRT is asked for by name.
        wait: Return when it is known whether the GPU scores. Asking for TensorRT by name always waits.
        service: Keep scoring, whatever the GPU does and even if TensorRT or bfloat16 was asked for by name: nothing
            waits for the GPU.
        on_change: Called with the first and every new status, from any thread, where the GPU is a question at all.
    """

    engine: EngineSettings = AUTOMATIC
    build: bool | None = None
    wait: bool = False
    service: bool = False
    on_change: Callable[[BackendStatus], None] = lambda status: None


EAGER = DeviceOptions()


def open_backend(
    bundle: Bundle, backend: str = "auto", threads: int | None = None, options: DeviceOptions = EAGER
) -> Backend:
    """Open a backend by name.

    `auto` is ONNX Runtime until a TensorRT engine is ready on a GPU, and again whenever the GPU fails; an engine is
    built only for a service, otherwise by `lungsev-run engine`. `tensorrt` waits for the engine, and for its build.
    Without a GPU, `auto` is bfloat16 with a second pass in FP32 where that gives FP32's grades and is faster.

    Args:
        bundle: What to run.
        backend: One of BACKENDS.
        threads: CPU threads; None lets the backend choose. The GPU ignores it.
        options: How the GPU is used.

    Raises:
        BackendError: The name is unknown or the backend cannot be opened here.
    """
    if backend == "onnxruntime":
        return _open_cpu(bundle, threads, _CHOSEN)
    if backend == "openvino":
        from lungsev.inference.openvino import OpenVinoBackend

        return OpenVinoBackend(bundle, threads=threads)
    if backend == "bfloat16":
        return _open_bfloat16(bundle, threads, "", options, is_required=not options.service)
    if backend not in BACKENDS:
        raise BackendError(f"backend {backend!r} is unknown; choose one of {', '.join(BACKENDS)}")
    is_required = backend == "tensorrt" and not options.service
    missing = why_no_gpu()
    if missing:
        if is_required:
            raise BackendError(f"{missing}; run with --backend onnxruntime")
        cpu = _open_fastest_cpu(bundle, threads, missing, options)
        options.on_change(describe_backend(cpu))
        return cpu
    return _open_supervised(bundle, threads, options, is_required)


def why_no_gpu() -> str:
    """Return why TensorRT need not even be tried here, without loading anything of NVIDIA's; empty if it may work."""
    if not has_nvidia_gpu():
        return "this machine has no NVIDIA GPU"
    if find_spec("tensorrt") is None and find_spec("tensorrt_rtx") is None:
        from lungsev.inference.tensorrt.library import missing_message

        return missing_message()
    return ""


def _open_fastest_cpu(bundle: Bundle, threads: int | None, no_gpu: str, options: DeviceOptions) -> Backend:
    """Open bfloat16 where the processor has it and it may be used, else ONNX Runtime, which then says why not."""
    from lungsev.inference.bfloat16.choice import why_no_bfloat16

    if why_no_bfloat16(bundle):  # most processors have none: no reason that every report should give
        return _open_cpu(bundle, threads, no_gpu)
    return _open_bfloat16(bundle, threads, no_gpu, options, is_required=False)


def _open_bfloat16(
    bundle: Bundle, threads: int | None, no_gpu: str, options: DeviceOptions, is_required: bool
) -> Backend:
    from lungsev.inference.bfloat16.choice import open_bfloat16

    try:
        return open_bfloat16(bundle, threads, options.engine.cache)
    except LungsevError as error:
        if is_required:
            raise
        return _open_cpu(bundle, threads, "; ".join(filter(None, (no_gpu, str(error)))))


def _open_cpu(bundle: Bundle, threads: int | None, reason: str) -> Backend:
    from lungsev.inference.onnxruntime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(bundle, threads=threads, reason=reason)


def _open_supervised(bundle: Bundle, threads: int | None, options: DeviceOptions, is_required: bool) -> Backend:
    from lungsev.inference.tensorrt.supervisor import SupervisedBackend

    build = options.build if options.build is not None else options.service or is_required
    cpu = _open_cpu(bundle, threads, "")
    supervised = SupervisedBackend(bundle, cpu, options.engine, build, options.on_change)
    if not is_required and not options.wait:
        return supervised
    try:
        status = supervised.wait_until_settled()
    except BaseException:
        supervised.close()
        raise
    if is_required and status.state != "ready":
        supervised.close()
        raise BackendError(supervised.failure or status.reason)
    return supervised
