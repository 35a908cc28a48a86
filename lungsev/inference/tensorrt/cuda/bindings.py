"""CUDA driver on NVIDIA's `cuda-bindings`, which has wheels for x86-64 and aarch64."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.cuda.driver import (
    CAPTURE_THREAD_LOCAL,
    Array,
    DeviceInfo,
    device_info,
    driver_version,
    explain_cuda_error,
)

log = logging.getLogger("lungsev.tensorrt")

_HOST_MAPPED = 2
_STREAM_NON_BLOCKING = 1
_ATTRIBUTE_INTEGRATED = 18
_ATTRIBUTE_MAJOR, _ATTRIBUTE_MINOR = 75, 76


class CudaBindingsDriver:
    """Driver on NVIDIA's `cuda.bindings.driver`, whose functions return (error, results...)."""

    def __init__(self, cuda: Any) -> None:
        self._cuda = cuda
        self._device_memory: list[int] = []
        self._host_memory: list[Any] = []
        self._graphs: list[Any] = []
        self._call("cuInit", 0)
        self._device = self._call("cuDeviceGet", 0)
        context = self._call("cuDevicePrimaryCtxRetain", self._device)
        try:
            self._call("cuCtxSetCurrent", context)
            self._stream = self._call("cuStreamCreate", _STREAM_NON_BLOCKING)
            self.info = self._describe()
        except BackendError:
            self._call("cuDevicePrimaryCtxRelease", self._device)
            raise

    def _describe(self) -> DeviceInfo:
        attribute = self._cuda.CUdevice_attribute
        major, minor, integrated = (
            int(self._call("cuDeviceGetAttribute", attribute(number), self._device))
            for number in (_ATTRIBUTE_MAJOR, _ATTRIBUTE_MINOR, _ATTRIBUTE_INTEGRATED)
        )
        name = self._call("cuDeviceGetName", 128, self._device)
        free, _total = self._call("cuMemGetInfo")
        version = driver_version(int(self._call("cuDriverGetVersion")))
        self._warn_of_another_cuda(version)
        return device_info(
            name=bytes(name).split(b"\0")[0].decode("utf-8", "replace"),
            compute_capability=f"{major}.{minor}",
            driver=version,
            integrated=bool(integrated),
            free_bytes=int(free),
        )

    @staticmethod
    def _warn_of_another_cuda(offered: str) -> None:
        """Warn where the binding is for a newer CUDA than the driver's, as NVIDIA says not to combine."""
        made_for = getattr(sys.modules.get("cuda.bindings"), "__version__", "0").split(".")[0]
        if int(made_for) > int(offered.split(".")[0]):
            log.warning(
                "cuda-bindings %s on a driver for CUDA %s; pip install 'cuda-bindings<%s', or update the driver",
                made_for,
                offered,
                made_for,
            )

    def allocate(self, size: int) -> int:
        """See `CudaDriver.allocate`."""
        pointer = int(self._call("cuMemAlloc", size))
        self._device_memory.append(pointer)
        return pointer

    def pinned(self, shape: Sequence[int], dtype: npt.DTypeLike) -> tuple[Array, int]:
        """See `CudaDriver.pinned`."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        flags = _HOST_MAPPED if self.info.integrated else 0
        host = int(self._call("cuMemHostAlloc", size, flags))
        self._host_memory.append(host)
        memory: Any = (ctypes.c_char * size).from_address(host)
        array: Array = np.frombuffer(memory, dtype).reshape(tuple(shape))
        return array, int(self._call("cuMemHostGetDevicePointer", host, 0)) if self.info.integrated else 0

    def to_device(self, target: int, source: Array) -> None:
        """See `CudaDriver.to_device`."""
        self._call("cuMemcpyHtoDAsync", target, source.ctypes.data, source.nbytes, self._stream)

    def to_host(self, target: Array, source: int) -> None:
        """See `CudaDriver.to_host`."""
        self._call("cuMemcpyDtoHAsync", target.ctypes.data, source, target.nbytes, self._stream)

    @property
    def stream(self) -> int:
        """See `CudaDriver.stream`."""
        return int(self._stream)

    def synchronise(self) -> None:
        """See `CudaDriver.synchronise`."""
        self._call("cuStreamSynchronize", self._stream)

    def capture(self, work: Callable[[], None]) -> Any:
        """See `CudaDriver.capture`."""
        mode = self._cuda.CUstreamCaptureMode(CAPTURE_THREAD_LOCAL)
        self._call("cuStreamBeginCapture", self._stream, mode)
        try:
            work()
        finally:  # a stream that is still capturing refuses everything else
            graph = self._call("cuStreamEndCapture", self._stream)
        executable = self._call("cuGraphInstantiate", graph, 0)
        self._call("cuGraphDestroy", graph)
        self._graphs.append(executable)
        return executable

    def launch(self, graph: Any) -> None:
        """See `CudaDriver.launch`."""
        self._call("cuGraphLaunch", graph, self._stream)

    def close(self) -> None:
        """See `CudaDriver.close`."""
        for name, handles in (
            ("cuGraphExecDestroy", self._graphs),
            ("cuMemFree", self._device_memory),
            ("cuMemFreeHost", self._host_memory),
        ):
            while handles:
                self._call(name, handles.pop())
        self._call("cuStreamDestroy", self._stream)
        self._call("cuDevicePrimaryCtxRelease", self._device)

    def _call(self, name: str, *arguments: Any) -> Any:
        try:
            error, *results = getattr(self._cuda, name)(*arguments)
        except RuntimeError as failure:  # libcuda.so.1 is missing, or has no such function
            raise BackendError(
                f"{name} cannot be called ({failure}); check the driver with nvidia-smi; for CUDA 12: pip install "
                "'cuda-bindings<13'"
            ) from None
        if int(error) != 0:
            raise BackendError(explain_cuda_error(name, int(error)))
        return results[0] if len(results) == 1 else tuple(results)
