"""From a bundle to a running engine: cached, built when needed, and compared before its first use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lungsev.bundle.archive import Bundle
from lungsev.bundle.manifest import Precision
from lungsev.errors import BackendError, ParityError
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.inference.parity import HALF_TOLERANCE, compare, parity_cases
from lungsev.inference.tensorrt.build import BuildOptions, Progress, build_engine, rtx_capabilities
from lungsev.inference.tensorrt.cache import CachedEngine, EngineKey, default_cache_dir, obtain_engine, with_verdict
from lungsev.inference.tensorrt.cuda import CudaDriver, DeviceInfo, count_devices, open_driver
from lungsev.inference.tensorrt.library import TensorRTLibrary, load_tensorrt
from lungsev.inference.tensorrt.runner import TensorRTBackend

log = logging.getLogger("lungsev.tensorrt")

MAX_WORKSPACE_MIB = 1024

Notify = Callable[[str], None]


@dataclass(frozen=True)
class EngineRequest:
    """Choices of the operator; None lets lungsev choose.

    Attributes:
        precision: None is fp16 where the bundle has it.
        workspace_mib: None is a quarter of the free memory, at most 1 GiB.
        optimisation_level: 0 (seconds, slower engine) to 5; None is the library's default.
        cache_dir: None is the user's cache folder.
        fresh: Build again although the cache has an engine.
    """

    precision: Precision | None = None
    workspace_mib: int | None = None
    optimisation_level: int | None = None
    cache_dir: Path | None = None
    fresh: bool = False


def open_tensorrt(
    bundle: Bundle,
    request: EngineRequest = EngineRequest(),
    say: Notify = log.warning,
    progress: Progress | None = None,
    library: TensorRTLibrary | None = None,
    open_device: Callable[[], CudaDriver] | None = None,
) -> TensorRTBackend:
    """Open a bundle on the GPU; build and compare its engine where that was not done yet.

    Args:
        bundle: What to run.
        request: Choices of the operator.
        say: Called with one line on what takes time and why.
        progress: Called with the builder's phase and the share of it that is done.
        library: For tests; None takes the machine's.
        open_device: For tests; None takes the machine's.

    Raises:
        BackendError: No TensorRT, no GPU, the build failed, or the engine did not pass the comparison.
    """
    return _open(bundle, request, say, progress, library, open_device)[0]


def prepare_engine(
    bundle: Bundle,
    request: EngineRequest = EngineRequest(),
    say: Notify = log.warning,
    progress: Progress | None = None,
    library: TensorRTLibrary | None = None,
    open_device: Callable[[], CudaDriver] | None = None,
) -> CachedEngine:
    """Build and compare the engine of this device now, so that the first image need not wait for it.

    Raises:
        BackendError: As `open_tensorrt`.
    """
    backend, engine = _open(bundle, request, say, progress, library, open_device)
    backend.close()
    return engine


def build_ahead_of_time(
    bundle: Bundle,
    capability: str,
    folder: Path,
    request: EngineRequest = EngineRequest(),
    progress: Progress | None = None,
    library: TensorRTLibrary | None = None,
) -> CachedEngine:
    """Build an engine for another device, on any machine, with TensorRT-RTX; it cannot be compared here.

    Args:
        bundle: Has the graph.
        capability: Compute capability of the device, e.g. "8.9".
        folder: For the plan and its side file.
        request: Choices of the operator.
        progress: Called with the builder's phase and the share of it that is done.
        library: For tests; None loads TensorRT-RTX.

    Raises:
        BackendError: No TensorRT-RTX, or it does not build for that capability.
    """
    library = library or load_tensorrt("tensorrt_rtx")
    precision: Precision = request.precision or ("fp16" if "fp16" in bundle.precisions else "fp32")
    info = DeviceInfo("any", capability, "any", integrated=False, free_bytes=0)
    key = engine_key(bundle, precision, library, info, request)
    options = BuildOptions(
        request.workspace_mib or MAX_WORKSPACE_MIB, request.optimisation_level, compute_capability=capability
    )
    graph = bundle.graph_bytes(precision)
    return obtain_engine(key, lambda: build_engine(graph, library, options, progress), folder, fresh=True)


def _open(
    bundle: Bundle,
    request: EngineRequest,
    say: Notify,
    progress: Progress | None,
    library: TensorRTLibrary | None,
    open_device: Callable[[], CudaDriver] | None,
) -> tuple[TensorRTBackend, CachedEngine]:
    library = library or load_tensorrt()
    open_device = open_device or open_first_device
    info = _describe(open_device)
    _refuse_foreign_card(library, info)
    precision: Precision = request.precision or ("fp16" if "fp16" in bundle.precisions else "fp32")
    graph = bundle.graph_bytes(precision)
    key = engine_key(bundle, precision, library, info, request)
    options = BuildOptions(request.workspace_mib or fitting_workspace_mib(info), key.optimisation_level)
    folder = request.cache_dir or default_cache_dir()

    def obtain(fresh: bool) -> CachedEngine:
        return obtain_engine(key, lambda: build_engine(graph, library, options, progress), folder, say, fresh)

    def start(engine: CachedEngine) -> TensorRTBackend:
        cache = engine.path.with_suffix(".kernels")
        size_px = bundle.manifest.input.size_px
        return TensorRTBackend(engine.plan, library, size_px, precision, cache, open_device=open_device)

    engine = obtain(request.fresh)
    _refuse_refused(engine)
    try:
        backend = start(engine)
    except BackendError as error:
        if request.fresh:
            raise
        say(f"the cached engine does not load ({error}); building it again")
        engine = obtain(True)
        backend = start(engine)
    if engine.parity is None:
        try:
            engine = prove_engine(bundle, backend, engine, say)
        except BaseException:
            backend.close()
            raise
    return backend, engine


def prove_engine(bundle: Bundle, backend: TensorRTBackend, engine: CachedEngine, say: Notify) -> CachedEngine:
    """Compare an engine with the FP32 graph on the CPU, once, and record the result beside it.

    Raises:
        BackendError: It differs by more than the tolerance; it is not used until it is built again.
    """
    say("comparing the engine with the FP32 graph before its first use")
    with OnnxRuntimeBackend(bundle) as reference:
        parity = compare(
            ("ONNX Runtime FP32", reference.infer),
            (f"TensorRT {backend.precision}", backend.infer),
            parity_cases(bundle.manifest.input.size_px),
            bundle.manifest,
        )
    try:
        parity.require(HALF_TOLERANCE)
    except ParityError as error:
        with_verdict(engine, parity.to_dict(), str(error))
        raise BackendError(f"{error}; run with --backend onnxruntime, or with the FP32 graph") from None
    say(str(parity))
    return with_verdict(engine, parity.to_dict(), None)


def engine_key(
    bundle: Bundle, precision: Precision, library: TensorRTLibrary, info: DeviceInfo, request: EngineRequest
) -> EngineKey:
    """Return what decides the engine of a bundle on a device; a workspace fitted to the free memory does not."""
    return EngineKey(
        graph_sha256=bundle.graph_sha256(precision),
        library=library.flavour,
        library_version=library.version,
        device=info.name,
        compute_capability=info.compute_capability,
        driver=info.driver,
        precision=precision,
        workspace_mib=request.workspace_mib,
        optimisation_level=request.optimisation_level,
    )


def fitting_workspace_mib(info: DeviceInfo) -> int:
    """Return a quarter of the free memory, at most 1 GiB: with more the builder fails on 8 GB boards."""
    return max(64, min(MAX_WORKSPACE_MIB, info.free_bytes // 4 >> 20))


def open_first_device() -> CudaDriver:
    """Open device 0.

    Raises:
        BackendError: There is no NVIDIA GPU, or no binding to use it.
    """
    if count_devices() == 0:
        raise BackendError(
            "this machine shows no NVIDIA GPU; check the driver with nvidia-smi (in a container: --gpus all, on a "
            "Jetson: --runtime nvidia), or run with --backend onnxruntime"
        )
    return open_driver()


def _describe(open_device: Callable[[], CudaDriver]) -> DeviceInfo:
    driver = open_device()
    try:
        return driver.info
    finally:
        driver.close()


def _refuse_foreign_card(library: TensorRTLibrary, info: DeviceInfo) -> None:
    """Refuse a card that TensorRT-RTX has no kernels for: it builds, then refuses its engine (seen on an H100)."""
    known = rtx_capabilities(library)
    if known and info.compute_capability not in known:
        raise BackendError(
            f"{library.flavour} {library.version} does not run on {info.name} (compute capability "
            f"{info.compute_capability}, expected {', '.join(known)}); install TensorRT from NVIDIA's index for this "
            "card, or run with --backend onnxruntime"
        )


def _refuse_refused(engine: CachedEngine) -> None:
    if engine.refused is not None:
        raise BackendError(
            f"the engine {engine.path.name} was refused when it was compared: {engine.refused}; "
            "build it again with lungsev-run engine --fresh, or run with --backend onnxruntime"
        )
