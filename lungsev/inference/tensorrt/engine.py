"""From a bundle to a running engine: found in the cache, or built and compared before its first use.

All of it belongs into a process of its own (`device_process`): NVIDIA's libraries end theirs when they fail.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lungsev.bundle.archive import Bundle
from lungsev.bundle.manifest import Precision
from lungsev.errors import BackendError, ParityError
from lungsev.inference.parity import HALF_TOLERANCE, compare, parity_cases
from lungsev.inference.tensorrt.build import (
    BuildOptions,
    HalfRefusedError,
    Progress,
    build_engine,
    require_half,
    rtx_capabilities,
)
from lungsev.inference.tensorrt.cache import (
    ANY,
    CachedEngine,
    EngineKey,
    attempts_at,
    default_cache_dir,
    locked_engine,
    read_engine,
    read_timings,
    record,
    store_engine,
)
from lungsev.inference.tensorrt.cuda import CudaDriver, DeviceInfo, count_devices, open_driver
from lungsev.inference.tensorrt.library import TensorRTLibrary, load_tensorrt
from lungsev.inference.tensorrt.runner import EngineLoadError, TensorRTBackend
from lungsev.inference.tensorrt.settings import AUTOMATIC, EngineSettings

log = logging.getLogger("lungsev.tensorrt")

MAX_WORKSPACE_MIB = 1024

Notify = Callable[[str], None]


class EngineRefusedError(BackendError):
    """The engine differs from the FP32 graph, or kept FP32 where half was asked for."""


@dataclass(frozen=True)
class EngineTarget:
    """A bundle on this device: what decides its engine, and where that is kept."""

    bundle: Bundle
    settings: EngineSettings
    library: TensorRTLibrary
    info: DeviceInfo
    open_device: Callable[[], CudaDriver]

    @property
    def precision(self) -> Precision:
        """The one that was asked for, else half where the bundle has it."""
        return _precision(self.bundle, self.settings)

    @property
    def key(self) -> EngineKey:
        """What an engine in the cache must fit."""
        return engine_key(self.bundle, self.library, self.info, self.settings)

    @property
    def folder(self) -> Path:
        """Of the cache."""
        return self.settings.cache or default_cache_dir()


def find_target(
    bundle: Bundle,
    settings: EngineSettings = AUTOMATIC,
    library: TensorRTLibrary | None = None,
    open_device: Callable[[], CudaDriver] | None = None,
) -> EngineTarget:
    """Load the library and look at the device.

    Args:
        bundle: What to run.
        settings: Choices of the operator.
        library: For tests; None takes the machine's.
        open_device: For tests; None takes the machine's.

    Raises:
        BackendError: No TensorRT, no GPU, or one that the library or the settings do not fit.
    """
    library = library or load_tensorrt()
    open_device = open_device or open_first_device
    info = _describe(open_device)
    _refuse_foreign_card(library, info)
    if settings.capability not in (None, info.compute_capability):
        raise BackendError(
            f"engines for compute capability {settings.capability} are asked for, {info.name} has "
            f"{info.compute_capability}; correct model.engine.capability or leave it out"
        )
    return EngineTarget(bundle, settings, library, info, open_device)


def find_engine(target: EngineTarget, proven: str | None = None) -> tuple[CachedEngine | None, str]:
    """Find an engine that may be used: it fits, and its grades were compared.

    Args:
        target: What it is for.
        proven: Hash of a plan that was compared where it could not be recorded.

    Returns:
        The engine, or None and why there is none.

    Raises:
        EngineRefusedError: The comparison refused it.
    """
    engine, reason = read_engine(target.key, target.folder)
    if engine is None:
        return None, reason
    if engine.refused is not None:
        raise EngineRefusedError(
            f"the engine {engine.path.name} was refused when it was compared: {engine.refused}; "
            "build it again with lungsev-run engine --fresh, or run with --backend onnxruntime"
        )
    if engine.parity is None and engine.plan_sha256 != proven:
        return None, "the cached one was not compared with the FP32 graph on this device yet"
    return engine, ""


def prepare_engine(
    target: EngineTarget,
    say: Notify = log.warning,
    progress: Progress | None = None,
    fresh: bool = False,
    on_attempt: Callable[[Path], None] = lambda marker: None,
) -> CachedEngine:
    """Build and compare the engine where that was not done yet, in one process at a time.

    Args:
        target: What it is for.
        say: Called with one line on what takes time and why.
        progress: Called with the builder's phase and the share of it that is done.
        fresh: Build again although the cache has an engine.
        on_attempt: Called with the marker of an attempt before what may end this process.

    Raises:
        EngineGivenUpError: It was tried too often.
        BackendError: The build failed, the cache cannot be written, or the engine did not pass the comparison.
    """
    engine, _ = read_engine(target.key, target.folder)
    if engine is not None and not fresh and not os.access(target.folder, os.W_OK):
        say(f"the engine cache {target.folder} cannot be written: the engine is compared again at every start")
        return engine if engine.parity is not None else _prove(target, engine, say, keep=lambda judged: None)
    with locked_engine(target.key, target.folder, say):
        engine, reason = read_engine(target.key, target.folder)  # another process may have built it by now
        if engine is not None and engine.parity is not None and not fresh:
            return engine
        attempts = attempts_at(target.key, target.folder)
        attempts.refuse_hopeless()
        earlier = attempts.count
        attempts.begin()
        on_attempt(attempts.marker)
        try:
            if engine is None or fresh:
                engine = _build(target, "asked for" if fresh else reason, say, progress, earlier)
            try:
                engine = _prove(target, engine, say, keep=record)
            except EngineLoadError as error:
                engine = _build(target, f"the cached one does not load: {error}", say, progress, earlier)
                engine = _prove(target, engine, say, keep=record)
        except EngineRefusedError:  # which its side file says
            attempts.forget()
            raise
        except Exception as error:
            attempts.failed(str(error))
            raise
        attempts.forget()
        return engine


def start_engine(target: EngineTarget, engine: CachedEngine) -> TensorRTBackend:
    """Load an engine on the device.

    Raises:
        EngineLoadError: It is damaged or foreign.
        BackendError: The device failed.
    """
    return TensorRTBackend(
        engine.plan,
        target.library,
        target.bundle.manifest.input.size_px,
        engine.key.precision,
        engine.path.with_suffix(".kernels"),
        open_device=target.open_device,
    )


def open_tensorrt(
    bundle: Bundle,
    settings: EngineSettings = AUTOMATIC,
    say: Notify = log.warning,
    progress: Progress | None = None,
    fresh: bool = False,
    library: TensorRTLibrary | None = None,
    open_device: Callable[[], CudaDriver] | None = None,
) -> TensorRTBackend:
    """Open a bundle on the GPU in this process; build and compare its engine where that was not done yet.

    Raises:
        BackendError: As `find_target`, `prepare_engine` and `start_engine`.
    """
    target = find_target(bundle, settings, library, open_device)
    engine, _ = find_engine(target) if not fresh else (None, "")
    if engine is not None:
        try:
            return start_engine(target, engine)
        except EngineLoadError as error:
            say(f"the cached engine does not load: {error}")
            fresh = True
    return start_engine(target, prepare_engine(target, say, progress, fresh))


def build_ahead_of_time(
    bundle: Bundle,
    capability: str,
    folder: Path,
    settings: EngineSettings = AUTOMATIC,
    progress: Progress | None = None,
    library: TensorRTLibrary | None = None,
) -> CachedEngine:
    """Build an engine for every device of a capability, on any machine, with TensorRT-RTX; compared where it runs.

    Args:
        bundle: Has the graph.
        capability: Compute capability of the devices, e.g. "8.9".
        folder: For the plan and its side file, which go into the cache of such a device.
        settings: Choices of the operator.
        progress: Called with the builder's phase and the share of it that is done.
        library: For tests; None loads TensorRT-RTX.

    Raises:
        BackendError: No TensorRT-RTX, or it does not build for that capability.
    """
    library = library or load_tensorrt("tensorrt_rtx")
    info = DeviceInfo(ANY, capability, ANY, integrated=False, free_bytes=0)
    key = engine_key(bundle, library, info, settings)
    options = BuildOptions(settings.workspace_mib or MAX_WORKSPACE_MIB, settings.level, capability)
    graph = bundle.graph_bytes(_precision(bundle, settings))
    with locked_engine(key, folder, lambda line: None):
        built = build_engine(graph, library, options, progress)
        require_half(graph, built.half_layers, built.layers, library)
        return store_engine(key, built, folder)


def engine_key(bundle: Bundle, library: TensorRTLibrary, info: DeviceInfo, settings: EngineSettings) -> EngineKey:
    """Return what decides the engine of a bundle on a device; a workspace fitted to the free memory does not."""
    precision = _precision(bundle, settings)
    return EngineKey(
        graph_sha256=bundle.graph_sha256(precision),
        library=library.flavour,
        library_version=library.version,
        device=info.name,
        compute_capability=info.compute_capability,
        driver=info.driver,
        precision=precision,
        workspace_mib=settings.workspace_mib,
        optimisation_level=settings.level,
    )


def fitting_workspace_mib(info: DeviceInfo, earlier_attempts: int = 0) -> int:
    """Return a quarter of the free memory, at most 1 GiB, half as much after each attempt that failed.

    With more the builder fails on 8 GB boards.
    """
    return max(64, min(MAX_WORKSPACE_MIB, info.free_bytes // 4 >> 20) >> earlier_attempts)


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


def _build(target: EngineTarget, reason: str, say: Notify, progress: Progress | None, earlier: int) -> CachedEngine:
    key, library, settings = target.key, target.library, target.settings
    say(f"building an engine for {key.device} ({key.library} {key.library_version}): {reason}")
    options = BuildOptions(
        settings.workspace_mib or fitting_workspace_mib(target.info, earlier),
        settings.level,
        settings.capability,
        read_timings(key, target.folder),
    )
    built = build_engine(target.bundle.graph_bytes(target.precision), library, options, progress)
    say(f"engine built in {built.build_seconds:.1f} s, {len(built.plan) / 1e6:.1f} MB")
    kept = key if settings.capability is None else replace(key, device=ANY, driver=ANY)
    return store_engine(kept, built, target.folder)


def _prove(
    target: EngineTarget, engine: CachedEngine, say: Notify, keep: Callable[[CachedEngine], None]
) -> CachedEngine:
    """Compare an engine with the FP32 graph on the CPU, once, and keep the verdict."""
    from lungsev.inference.onnxruntime import OnnxRuntimeBackend

    say("comparing the engine with the FP32 graph before its first use")
    parity: dict[str, Any] | None = None
    try:
        with closing(start_engine(target, engine)) as backend, OnnxRuntimeBackend(target.bundle) as reference:
            half_layers, layers = backend.half_layers or (engine.half_layers, engine.layers)
            engine = replace(engine, half_layers=half_layers, layers=layers, compared_on=target.key.place)
            require_half(target.bundle.graph_bytes(target.precision), half_layers, layers, target.library)
            found = compare(
                ("ONNX Runtime FP32", reference.infer),
                (f"TensorRT {backend.precision}", backend.infer),
                parity_cases(target.bundle.manifest.input.size_px),
                target.bundle.manifest,
            )
        parity = found.to_dict()
        found.require(HALF_TOLERANCE)
    except (ParityError, HalfRefusedError) as error:
        keep(replace(engine, parity=parity, refused=str(error)))
        raise EngineRefusedError(f"{error}; run with --backend onnxruntime, or with the FP32 graph") from None
    say(str(found))
    judged = replace(engine, parity=parity, refused=None)
    keep(judged)
    return judged


def _precision(bundle: Bundle, settings: EngineSettings) -> Precision:
    return settings.precision or ("fp16" if "fp16" in bundle.precisions else "fp32")


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
