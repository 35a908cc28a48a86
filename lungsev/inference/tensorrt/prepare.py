"""Preparation of an engine: built and compared before its first use, by one process at a time, and twice at most."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from lungsev.bundle.archive import Bundle
from lungsev.errors import ParityError
from lungsev.inference.parity import HALF_TOLERANCE, compare, parity_cases
from lungsev.inference.tensorrt.build import BuildOptions, HalfRefusedError, build_engine, require_half
from lungsev.inference.tensorrt.cache import (
    ANY,
    CachedEngine,
    locked_engine,
    read_engine,
    read_timings,
    record,
    store_engine,
)
from lungsev.inference.tensorrt.cuda import CudaDriver, DeviceInfo
from lungsev.inference.tensorrt.engine import (
    EngineRefusedError,
    EngineTarget,
    chosen_precision,
    engine_key,
    find_engine,
    find_target,
    start_engine,
)
from lungsev.inference.tensorrt.library import TensorRTLibrary, load_tensorrt
from lungsev.inference.tensorrt.progress import Progress
from lungsev.inference.tensorrt.runner import EngineLoadError, TensorRTBackend
from lungsev.inference.tensorrt.settings import AUTOMATIC, EngineSettings

log = logging.getLogger("lungsev.tensorrt")

MAX_WORKSPACE_MIB = 1024

Notify = Callable[[str], None]


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
        progress: Called with the builder's phase and the share of the build that is done.
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
        attempts = target.attempts
        attempts.refuse_hopeless()
        earlier = attempts.count
        attempts.begin()
        on_attempt(attempts.marker)
        try:
            is_new = engine is None or fresh
            if engine is None or fresh:
                engine = _build(target, "asked for" if fresh else reason, say, progress, earlier)
            try:
                engine = _prove(target, engine, say, keep=record)
            except EngineLoadError as error:
                if is_new:  # the next one would not load either
                    raise
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
        progress: Called with the builder's phase and the share of the build that is done.
        library: For tests; None loads TensorRT-RTX.

    Raises:
        BackendError: No TensorRT-RTX, or it does not build for that capability.
    """
    library = library or load_tensorrt("tensorrt_rtx")
    info = DeviceInfo(ANY, capability, ANY, integrated=False, free_bytes=0)
    key = engine_key(bundle, library, info, settings)
    options = BuildOptions(settings.workspace_mib or MAX_WORKSPACE_MIB, settings.level, capability)
    graph = bundle.graph_bytes(chosen_precision(bundle, settings))
    with locked_engine(key, folder, lambda line: None):
        built = build_engine(graph, library, options, progress)
        require_half(graph, built.half_layers, built.layers, library)
        return store_engine(key, built, folder)


def fitting_workspace_mib(info: DeviceInfo, earlier_attempts: int = 0) -> int:
    """Return a quarter of the free memory, at most 1 GiB, half as much after each attempt that failed.

    With more the builder fails on 8 GB boards.
    """
    return max(64, min(MAX_WORKSPACE_MIB, info.free_bytes // 4 >> 20) >> earlier_attempts)


def _build(target: EngineTarget, reason: str, say: Notify, progress: Progress | None, earlier: int) -> CachedEngine:
    key, library, settings = target.key, target.library, target.settings
    say(f"building an engine for {key.device} ({key.library} {key.library_version}): {reason}")
    options = BuildOptions(
        settings.workspace_mib or fitting_workspace_mib(target.info, earlier),
        settings.level,
        key.compute_capability if library.is_rtx else settings.capability,  # RTX: what some cards lack is left out
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
