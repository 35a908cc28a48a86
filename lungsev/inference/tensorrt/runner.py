"""TensorRT backend, for TensorRT and TensorRT-RTX: fixed addresses, pinned buffers, one CUDA graph.

One worker thread owns the CUDA context, the stream and the execution context, so that any thread may use the backend.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lungsev.errors import BackendError
from lungsev.inference.backend import Outputs, check_image
from lungsev.inference.tensorrt.build import made
from lungsev.inference.tensorrt.cuda import CudaDriver, open_driver
from lungsev.inference.tensorrt.layers import inspect_layers
from lungsev.inference.tensorrt.library import TensorRTLibrary
from lungsev.system import write_atomically

log = logging.getLogger("lungsev.tensorrt")

WARM_UP_RUNS = 3

Result = TypeVar("Result")


class EngineLoadError(BackendError):
    """The engine is damaged, or was built for another device or version."""


@dataclass(frozen=True)
class _Tensor:
    """An input or output: its pinned host array, and the address that the engine reads or writes."""

    name: str
    host: npt.NDArray[np.float32]
    device: int
    copied: bool


class TensorRTBackend:
    """Runs a serialised engine on device 0.

    Args:
        plan: The engine, whose side file was checked already.
        library: That built it.
        size_px: Side of the input, to refuse other images with a clear message.
        precision: For the report.
        runtime_cache: File for the kernels that TensorRT-RTX compiles for this device; None keeps none.
        use_graph: Record the whole run as a CUDA graph; where that fails, it runs without.
        open_device: For tests.

    Attributes:
        uses_graph: Runs are one CUDA graph.
        half_layers: Convolutions and matrix products in half precision, and all, as the engine inspector counts them.

    Raises:
        EngineLoadError: The plan is damaged or foreign.
        BackendError: The device failed.
    """

    name = "tensorrt"

    def __init__(
        self,
        plan: bytes,
        library: TensorRTLibrary,
        size_px: int,
        precision: str,
        runtime_cache: Path | None = None,
        use_graph: bool = True,
        open_device: Callable[[], CudaDriver] = open_driver,
    ) -> None:
        self.precision = precision
        self.device = "unknown"
        self.uses_graph = False
        self.half_layers: tuple[int, int] | None = None
        self._size_px = size_px
        self._worker: ThreadPoolExecutor | None = ThreadPoolExecutor(1, thread_name_prefix="lungsev-tensorrt")
        self._runner: _Runner | None = None
        try:
            self._runner = self._worker.submit(_Runner, plan, library, open_device, runtime_cache, use_graph).result()
        except BaseException:
            self._worker.shutdown()
            raise
        self.device = self._runner.driver.info.name
        self.uses_graph = self._runner.graph is not None
        self.half_layers = self._runner.half_layers

    def infer(self, image: npt.NDArray[np.float32]) -> Outputs:
        """See `Backend.infer`."""
        return self._in_worker(_Runner.run, image)

    def transfer(self, image: npt.NDArray[np.float32]) -> None:
        """See `DeviceMemoryBackend.transfer`."""
        self._in_worker(_Runner.move, image)

    def layer_times(self, image: npt.NDArray[np.float32], runs: int) -> list[tuple[str, float]]:
        """See `LayerTimer.layer_times`. The runs are queued layer by layer, not as a CUDA graph."""
        profiled = [self._in_worker(_Runner.profile, image) for _ in range(runs + 1)]
        return [layer for run in profiled[1:] for layer in run]

    def close(self) -> None:
        """See `Backend.close`."""
        if self._worker is None:
            return
        worker, runner = self._worker, self._runner
        self._worker = self._runner = None
        try:
            if runner is not None:
                worker.submit(runner.close).result()
        finally:
            worker.shutdown()

    def _in_worker(
        self, work: Callable[[_Runner, npt.NDArray[np.float32]], Result], image: npt.NDArray[np.float32]
    ) -> Result:
        if self._worker is None or self._runner is None:
            raise BackendError("the TensorRT backend is closed; open it again")
        check_image(image, self._size_px)
        return self._worker.submit(work, self._runner, image).result()

    def __enter__(self) -> TensorRTBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Runner:
    """What belongs to the worker thread."""

    def __init__(
        self,
        plan: bytes,
        library: TensorRTLibrary,
        open_device: Callable[[], CudaDriver],
        runtime_cache: Path | None,
        use_graph: bool,
    ) -> None:
        self.graph: Any = None
        self._profiled: tuple[Any, Any] | None = None
        self._rtx_cache: Any = None
        self._rtx_cache_file = runtime_cache
        self.driver = open_device()
        try:
            self._open(plan, library)
            for _ in range(WARM_UP_RUNS):  # kernels load lazily, clocks rise, RTX compiles
                self._queue()
                self.driver.synchronise()
            if use_graph and not library.is_rtx:
                self.graph = self._captured()
        except BaseException:
            self._free()
            raise

    def run(self, image: npt.NDArray[np.float32]) -> Outputs:
        np.copyto(self._input.host, image)
        if self.graph is not None:
            self.driver.launch(self.graph)
        else:
            self._queue()
        return self._results()

    def move(self, image: npt.NDArray[np.float32]) -> Outputs:
        """Copy as `run` does, without the engine: the outputs are those of the last run."""
        np.copyto(self._input.host, image)
        self._queue_input()
        self._queue_outputs()
        return self._results()

    def profile(self, image: npt.NDArray[np.float32]) -> list[tuple[str, float]]:
        """Name and milliseconds of every layer of one run, in a context of its own that only this uses."""
        if self._profiled is None:
            self._profiled = self._make_profiled()
        context, clock = self._profiled
        clock.times.clear()
        np.copyto(self._input.host, image)
        self._queue_input()
        if not context.execute_async_v3(self.driver.stream):  # waits for its end, since it has a profiler
            raise BackendError("TensorRT could not queue the engine with its profiler; check the GPU with nvidia-smi")
        self.driver.synchronise()
        return list(clock.times)

    def close(self) -> None:
        if self._rtx_cache is not None and self._rtx_cache_file is not None:
            _save_runtime_cache(self._rtx_cache, self._rtx_cache_file)
        self._free()

    def _open(self, plan: bytes, library: TensorRTLibrary) -> None:
        trt = self._trt = library.trt
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = made(lambda: trt.Runtime(self._logger), "runtime", str, library)
        _refuse_invalid(library, self._runtime, plan)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineLoadError(
                f"{library.flavour} {library.version} cannot load the engine: it is damaged, or was built for another "
                "version or device; build it again with lungsev-run engine"
            )
        self.half_layers = inspect_layers(trt, self._engine)
        self._context = self._make_context(library)
        if self._context is None:
            raise BackendError(f"{library.flavour} gives no execution context; the GPU may be out of memory")
        tensors = [self._bind(trt, self._engine.get_tensor_name(i)) for i in range(self._engine.num_io_tensors)]
        is_input = [self._engine.get_tensor_mode(tensor.name) == trt.TensorIOMode.INPUT for tensor in tensors]
        self._input = tensors[is_input.index(True)]
        self._outputs = [tensor for tensor, fed in zip(tensors, is_input, strict=True) if not fed]

    def _make_profiled(self) -> tuple[Any, Any]:
        """A second context, and the profiler that TensorRT tells its layers."""
        if not hasattr(self._trt, "IProfiler"):
            raise BackendError("this TensorRT has no profiler of layers")
        context = self._engine.create_execution_context()
        if context is None:
            raise BackendError("TensorRT gives no second execution context; the GPU may be out of memory")
        clock = context.profiler = _layer_clock(self._trt)
        for tensor in (self._input, *self._outputs):
            context.set_tensor_address(tensor.name, tensor.device)
        return context, clock

    def _make_context(self, library: TensorRTLibrary) -> Any:
        if not library.is_rtx or not hasattr(self._engine, "create_runtime_config"):
            return self._engine.create_execution_context()
        config = self._engine.create_runtime_config()
        if hasattr(library.trt, "CudaGraphStrategy"):
            config.cuda_graph_strategy = library.trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        if hasattr(config, "create_runtime_cache"):
            self._rtx_cache = config.create_runtime_cache()
            if self._rtx_cache_file is not None and self._rtx_cache_file.is_file():
                self._rtx_cache.deserialize(self._rtx_cache_file.read_bytes())
            config.set_runtime_cache(self._rtx_cache)
        return self._engine.create_execution_context(config)

    def _bind(self, trt: Any, name: str) -> _Tensor:
        shape = tuple(self._engine.get_tensor_shape(name))
        if any(side < 1 for side in shape) or self._engine.get_tensor_dtype(name) != trt.DataType.FLOAT:
            raise EngineLoadError(
                f"the engine's tensor {name} has no fixed float32 shape; build it from a bundle's graph"
            )
        host, mapped = self.driver.pinned(shape, np.float32)
        host[...] = 0
        device = mapped or self.driver.allocate(host.nbytes)
        if not self._context.set_tensor_address(name, device):
            raise EngineLoadError(f"the engine does not take memory for its tensor {name}; build it again")
        return _Tensor(name, host, device, copied=not mapped)

    def _queue(self) -> None:
        """Queue the copies and kernels of one image on the stream."""
        self._queue_input()
        if not self._context.execute_async_v3(self.driver.stream):
            raise BackendError("TensorRT could not queue the engine; check the GPU with nvidia-smi")
        self._queue_outputs()

    def _queue_input(self) -> None:
        if self._input.copied:
            self.driver.to_device(self._input.device, self._input.host)

    def _queue_outputs(self) -> None:
        for tensor in self._outputs:
            if tensor.copied:
                self.driver.to_host(tensor.host, tensor.device)

    def _results(self) -> Outputs:
        """Wait for what was queued, and copy the outputs for the caller."""
        self.driver.synchronise()
        return {tensor.name: tensor.host.copy() for tensor in self._outputs}

    def _captured(self) -> Any:
        try:
            return self.driver.capture(self._queue)
        except BackendError as error:
            log.warning("running without a CUDA graph: %s", error)
            return None

    def _free(self) -> None:
        # The engine must be freed before the CUDA context that has its memory.
        self._context = self._profiled = self._engine = self._runtime = None
        try:
            self.driver.close()
        except BackendError as error:  # after an error of the device every call fails: only the process's end frees it
            log.warning("the device was not freed: %s", error)


def _layer_clock(trt: Any) -> Any:
    """A profiler that keeps what TensorRT reports in `times`: name and milliseconds of every layer."""

    class LayerClock(trt.IProfiler):  # type: ignore[misc]  # of whichever module is loaded
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times.append((layer_name, ms))

    return LayerClock()


def _refuse_invalid(library: TensorRTLibrary, runtime: Any, plan: bytes) -> None:
    """Ask TensorRT-RTX whether it would load a plan here, and why not."""
    if not hasattr(runtime, "get_engine_validity"):
        return
    validity, diagnostics = runtime.get_engine_validity(plan)
    if validity == library.trt.EngineValidity.INVALID:
        raise EngineLoadError(
            f"{library.flavour} {library.version} does not run this engine here "
            f"({_named_bits(library.trt, int(diagnostics))}); build it again with lungsev-run engine"
        )


def _named_bits(trt: Any, diagnostics: int) -> str:
    """Return TensorRT-RTX's names of set bits: 2 is "unsupported cc"."""
    known = getattr(getattr(trt, "EngineInvalidityDiagnostics", None), "__members__", {})
    words = [name.lower().replace("_", " ") for name, bit in known.items() if diagnostics & int(bit)]
    return ", ".join(words) or "it gives no reason; check the NVIDIA driver with nvidia-smi"


def _save_runtime_cache(cache: Any, path: Path) -> None:
    try:
        write_atomically(path, bytes(cache.serialize()))
    except (OSError, TypeError) as error:
        log.warning("the compiled kernels are not kept: %s", error)
