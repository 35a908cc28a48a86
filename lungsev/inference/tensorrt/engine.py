"""From a bundle to a running engine: found in the cache, or built and compared before its first use.

All of it belongs into a process of its own (`device_process`): NVIDIA's libraries end theirs when they fail.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lungsev.bundle.archive import Bundle
from lungsev.bundle.manifest import Precision
from lungsev.errors import BackendError
from lungsev.inference.tensorrt.attempts import Attempts
from lungsev.inference.tensorrt.build import rtx_capabilities
from lungsev.inference.tensorrt.cache import CachedEngine, EngineKey, attempts_at, default_cache_dir, read_engine
from lungsev.inference.tensorrt.cuda import CudaDriver, DeviceInfo, count_devices, open_driver
from lungsev.inference.tensorrt.library import TensorRTLibrary, load_tensorrt
from lungsev.inference.tensorrt.runner import TensorRTBackend
from lungsev.inference.tensorrt.settings import AUTOMATIC, EngineSettings

log = logging.getLogger("lungsev.tensorrt")


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
        return chosen_precision(self.bundle, self.settings)

    @property
    def key(self) -> EngineKey:
        """What an engine in the cache must fit."""
        return engine_key(self.bundle, self.library, self.info, self.settings)

    @property
    def folder(self) -> Path:
        """Of the cache."""
        return self.settings.cache or default_cache_dir()

    @property
    def attempts(self) -> Attempts:
        """Attempts at its engine that did not end well."""
        return attempts_at(self.key, self.folder, self.settings.capability)


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


def engine_key(bundle: Bundle, library: TensorRTLibrary, info: DeviceInfo, settings: EngineSettings) -> EngineKey:
    """Return what decides the engine of a bundle on a device; a workspace fitted to the free memory does not."""
    precision = chosen_precision(bundle, settings)
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


def chosen_precision(bundle: Bundle, settings: EngineSettings) -> Precision:
    """Return the precision that was asked for, else half where the bundle has it."""
    return settings.precision or ("fp16" if "fp16" in bundle.precisions else "fp32")


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
