"""CUDA driver on pycuda, which is compiled where it is installed, with the headers of the CUDA that is there."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.cuda.driver import (
    CAPTURE_THREAD_LOCAL,
    Array,
    device_info,
    driver_version,
    explain_cuda_error,
)


class PycudaDriver:
    """Driver on pycuda's memory and streams; graphs, which pycuda lacks, are made with `libcuda` directly."""

    def __init__(self, cuda: Any, libcuda: Any = None) -> None:
        self._cuda = cuda
        self._libcuda = libcuda
        try:
            cuda.init()
            device = cuda.Device(0)
            self._context = device.retain_primary_context()
        except cuda.Error as error:
            raise BackendError(f"the NVIDIA driver gives no device: {error}; check it with nvidia-smi") from None
        self._context.push()
        self._stream = cuda.Stream()
        self._keep: list[Any] = []
        self._graphs: list[Any] = []
        major, minor = device.compute_capability()
        self.info = device_info(
            name=device.name(),
            compute_capability=f"{major}.{minor}",
            driver=driver_version(int(cuda.get_driver_version())),
            integrated=bool(device.get_attribute(cuda.device_attribute.INTEGRATED)),
            free_bytes=int(cuda.mem_get_info()[0]),
        )

    def allocate(self, size: int) -> int:
        """See `CudaDriver.allocate`."""
        memory = self._checked("mem_alloc", size)
        self._keep.append(memory)
        return int(memory)

    def pinned(self, shape: Sequence[int], dtype: npt.DTypeLike) -> tuple[Array, int]:
        """See `CudaDriver.pinned`."""
        flags = self._cuda.host_alloc_flags.DEVICEMAP if self.info.integrated else 0
        array: Array = self._checked("pagelocked_empty", tuple(shape), np.dtype(dtype), mem_flags=flags)
        self._keep.append(array)
        return array, int(array.base.get_device_pointer()) if self.info.integrated else 0  # type: ignore[union-attr]

    def to_device(self, target: int, source: Array) -> None:
        """See `CudaDriver.to_device`."""
        self._checked("memcpy_htod_async", target, source, self._stream)

    def to_host(self, target: Array, source: int) -> None:
        """See `CudaDriver.to_host`."""
        self._checked("memcpy_dtoh_async", target, source, self._stream)

    @property
    def stream(self) -> int:
        """See `CudaDriver.stream`."""
        return int(self._stream.handle)

    def synchronise(self) -> None:
        """See `CudaDriver.synchronise`."""
        try:
            self._stream.synchronize()
        except self._cuda.Error as error:
            raise BackendError(f"the GPU failed: {error}") from None

    def capture(self, work: Callable[[], None]) -> Any:
        """See `CudaDriver.capture`."""
        stream = ctypes.c_void_p(self.stream)
        self._graph_call("cuStreamBeginCapture_v2", stream, ctypes.c_int(CAPTURE_THREAD_LOCAL))
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        try:
            work()
        finally:
            self._graph_call("cuStreamEndCapture", stream, ctypes.byref(graph))
        self._graph_call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        self._graph_call("cuGraphDestroy", graph)
        self._graphs.append(executable)
        return executable

    def launch(self, graph: Any) -> None:
        """See `CudaDriver.launch`."""
        self._graph_call("cuGraphLaunch", graph, ctypes.c_void_p(self.stream))

    def close(self) -> None:
        """See `CudaDriver.close`."""
        while self._graphs:
            self._graph_call("cuGraphExecDestroy", self._graphs.pop())
        self._keep.clear()
        self._stream = None
        self._context.pop()
        self._context.detach()

    def _graph_call(self, name: str, *arguments: Any) -> None:
        if self._libcuda is None:
            self._libcuda = ctypes.CDLL("libcuda.so.1")
        error = getattr(self._libcuda, name)(*arguments)
        if error != 0:
            raise BackendError(explain_cuda_error(name, int(error)))

    def _checked(self, name: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._cuda, name)(*arguments, **options)
        except self._cuda.MemoryError:
            raise BackendError(explain_cuda_error(name, 2)) from None
        except self._cuda.Error as error:
            raise BackendError(f"{name} failed: {error}") from None
