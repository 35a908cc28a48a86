"""CUDA driver: the few parts of CUDA that a backend needs (memory, copies, one stream, graphs), behind one contract.

`pycuda` is preferred, `cuda-bindings` is the alternative. Both use the device's primary context, as TensorRT and other
libraries of the process do; it belongs to the thread that opened the driver.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lungsev.errors import BackendError

_CAPTURE_THREAD_LOCAL = 1
_HOST_MAPPED = 2
_STREAM_NON_BLOCKING = 1
_ATTRIBUTE_INTEGRATED = 18
_ATTRIBUTE_MAJOR, _ATTRIBUTE_MINOR = 75, 76

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DeviceInfo:
    """The GPU.

    Attributes:
        integrated: The GPU shares the CPU's memory (Jetson): pinned memory is bound directly, nothing is copied.
    """

    name: str
    compute_capability: str
    driver: str
    integrated: bool
    free_bytes: int


class CudaDriver(Protocol):
    """A CUDA binding. Used from the thread that opened it; pointers and streams are integers, graphs are opaque."""

    info: DeviceInfo

    def allocate(self, size: int) -> int:
        """Allocate device memory of `size` bytes and return its address."""
        ...

    def pinned(self, shape: Sequence[int], dtype: npt.DTypeLike) -> tuple[Array, int]:
        """Allocate page-locked host memory; also return its device address (0 unless the device is integrated)."""
        ...

    def to_device(self, target: int, source: Array) -> None:
        """Queue a copy from pinned memory."""
        ...

    def to_host(self, target: Array, source: int) -> None:
        """Queue a copy into pinned memory."""
        ...

    @property
    def stream(self) -> int:
        """Handle of the stream."""
        ...

    def synchronise(self) -> None:
        """Wait for the stream."""
        ...

    def capture(self, work: Callable[[], None]) -> Any:
        """Record what `work` queues as a graph instead of running it."""
        ...

    def launch(self, graph: Any) -> None:
        """Queue a recorded graph."""
        ...

    def close(self) -> None:
        """Free all memory and graphs, then the context."""
        ...


def open_driver() -> CudaDriver:
    """Open device 0 with the binding that is installed.

    Raises:
        BackendError: No binding, no driver or no device.
    """
    for name, kind in (("pycuda.driver", PycudaDriver), ("cuda.bindings.driver", CudaBindingsDriver)):
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError):
            continue
        return kind(module)
    raise BackendError(
        'TensorRT needs pycuda or cuda-bindings to reach the GPU: pip install "lungsev[tensorrt]", or run with '
        "--backend onnxruntime"
    )


def count_devices() -> int:
    """Count the GPUs that the NVIDIA driver shows; 0 without a driver. Creates no context."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


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
        version = int(self._call("cuDriverGetVersion"))
        return DeviceInfo(
            name=bytes(name).split(b"\0")[0].decode("utf-8", "replace"),
            compute_capability=f"{major}.{minor}",
            driver=_driver_version(version),
            integrated=bool(integrated),
            free_bytes=int(free),
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
        mode = self._cuda.CUstreamCaptureMode(_CAPTURE_THREAD_LOCAL)
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
        error, *results = getattr(self._cuda, name)(*arguments)
        if int(error) != 0:
            raise BackendError(explain_cuda_error(name, int(error)))
        return results[0] if len(results) == 1 else tuple(results)


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
        self.info = DeviceInfo(
            name=device.name(),
            compute_capability=f"{major}.{minor}",
            driver=_driver_version(int(cuda.get_driver_version())),
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
        self._graph_call("cuStreamBeginCapture_v2", stream, ctypes.c_int(_CAPTURE_THREAD_LOCAL))
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


def explain_cuda_error(call: str, error: int) -> str:
    """Return one sentence for an error code of the driver (CUresult)."""
    known = {
        2: "the GPU is out of memory; close other programs that use it",
        3: "the NVIDIA driver is shutting down; start again",
        35: "the NVIDIA driver is older than this CUDA needs; update it",
        100: "there is no NVIDIA GPU; run with --backend onnxruntime",
        101: "the NVIDIA GPU is not available; check it with nvidia-smi",
        222: "the engine was built for another driver; it will be built again",
        700: "the GPU read outside its memory; start again, and report it if it returns",
        719: "the GPU stopped; start again, and check it with nvidia-smi",
        803: "the NVIDIA driver and the CUDA libraries are of different versions; reboot or update the driver",
        999: "the NVIDIA driver does not answer; reboot",
    }
    return f"{call} failed with CUDA error {error}: {known.get(error, 'check the GPU with nvidia-smi')}"


def _driver_version(number: int) -> str:
    """Format the newest CUDA version that the driver supports: 12040 is 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"
