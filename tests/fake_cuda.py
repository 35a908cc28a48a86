"""Stand-ins for `cuda.bindings.driver`, `pycuda.driver` and `libcuda` on a machine without a GPU.

Device memory is host memory at real addresses, and a captured graph replays what was queued, so that tests exercise
buffers, order, capture and closing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from lungsev.inference.tensorrt.cuda import CudaBindingsDriver, CudaDriver, PycudaDriver


class FakeDevice:
    """The GPU both bindings talk to. `fail` maps a call's name to the error code it returns."""

    def __init__(self, integrated: bool = False, driver: int = 12040, name: str = "Fake GPU") -> None:
        self.name, self.integrated, self.driver = name, integrated, driver
        self.fail: dict[str, int] = {}
        self.memory: dict[int, Any] = {}
        self.calls: list[str] = []
        self.contexts = 0
        self.streams = 0
        self.graphs = 0
        self.recording: list[Callable[[], None]] | None = None

    def take(self, size: int) -> int:
        buffer = ctypes.create_string_buffer(size)
        address = ctypes.addressof(buffer)
        self.memory[address] = buffer
        return address

    def queue(self, work: Callable[[], None]) -> None:
        assert self.contexts > 0, "used without a context"
        if self.recording is not None:
            self.recording.append(work)
        else:
            work()

    @property
    def is_clean(self) -> bool:
        return not self.memory and not self.contexts and not self.streams and not self.graphs


class FakeCudaBindings:
    """`cuda.bindings.driver`: every function returns (error, results...)."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device

    CUdevice_attribute = staticmethod(int)
    CUstreamCaptureMode = staticmethod(int)

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.device.calls.append(name)
            if name in self.device.fail:
                return (self.device.fail[name],)
            result = getattr(self, f"_{name}")(*arguments)
            return (0,) if result is None else (0, *result) if isinstance(result, tuple) else (0, result)

        return call

    def _cuInit(self, _flags: int) -> None: ...

    def _cuDeviceGet(self, number: int) -> int:
        return number

    def _cuDevicePrimaryCtxRetain(self, _device: int) -> str:
        self.device.contexts += 1
        return "context"

    def _cuDevicePrimaryCtxRelease(self, _device: int) -> None:
        self.device.contexts -= 1

    def _cuCtxSetCurrent(self, _context: str) -> None: ...

    def _cuStreamCreate(self, _flags: int) -> int:
        self.device.streams += 1
        return 77

    def _cuStreamDestroy(self, _stream: int) -> None:
        self.device.streams -= 1

    def _cuStreamSynchronize(self, _stream: int) -> None: ...

    def _cuDeviceGetAttribute(self, attribute: int, _device: int) -> int:
        return {75: 8, 76: 9, 18: int(self.device.integrated)}[attribute]

    def _cuDeviceGetName(self, _length: int, _device: int) -> bytes:
        return self.device.name.encode() + b"\0junk"

    def _cuMemGetInfo(self) -> tuple[int, int]:
        return 2 << 30, 8 << 30

    def _cuDriverGetVersion(self) -> int:
        return self.device.driver

    def _cuMemAlloc(self, size: int) -> int:
        return self.device.take(size)

    def _cuMemHostAlloc(self, size: int, _flags: int) -> int:
        return self.device.take(size)

    def _cuMemHostGetDevicePointer(self, host: int, _flags: int) -> int:
        return host

    def _cuMemFree(self, pointer: int) -> None:
        del self.device.memory[pointer]

    _cuMemFreeHost = _cuMemFree

    def _cuMemcpyHtoDAsync(self, target: int, source: int, size: int, _stream: int) -> None:
        self.device.queue(lambda: ctypes.memmove(target, source, size) and None)

    _cuMemcpyDtoHAsync = _cuMemcpyHtoDAsync

    def _cuStreamBeginCapture(self, _stream: int, _mode: int) -> None:
        self.device.recording = []

    def _cuStreamEndCapture(self, _stream: int) -> list[Callable[[], None]]:
        recorded, self.device.recording = self.device.recording, None
        assert recorded is not None
        return recorded

    def _cuGraphInstantiate(self, graph: list[Callable[[], None]], _flags: int) -> list[Callable[[], None]]:
        self.device.graphs += 1
        return graph

    def _cuGraphDestroy(self, _graph: Any) -> None: ...

    def _cuGraphLaunch(self, graph: list[Callable[[], None]], _stream: int) -> None:
        for work in graph:
            work()

    def _cuGraphExecDestroy(self, _graph: Any) -> None:
        self.device.graphs -= 1


class FakePycuda:
    """`pycuda.driver`."""

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    device_attribute = SimpleNamespace(INTEGRATED="integrated")
    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)

    def __init__(self, device: FakeDevice) -> None:
        self.device = device

    def init(self) -> None:
        if "cuInit" in self.device.fail:
            raise self.Error("no CUDA-capable device is detected")

    def Device(self, _number: int) -> Any:
        device = self.device

        class Context:
            def push(self) -> None:
                device.contexts += 1

            def pop(self) -> None:
                device.contexts -= 1

            def detach(self) -> None:
                device.memory.clear()

        return SimpleNamespace(
            retain_primary_context=Context,
            compute_capability=lambda: (8, 9),
            name=lambda: device.name,
            get_attribute=lambda _attribute: int(device.integrated),
        )

    def Stream(self) -> Any:
        return SimpleNamespace(handle=77, synchronize=lambda: None)

    def get_driver_version(self) -> int:
        return self.device.driver

    def mem_get_info(self) -> tuple[int, int]:
        return 2 << 30, 8 << 30

    def mem_alloc(self, size: int) -> int:
        if "mem_alloc" in self.device.fail:
            raise self.MemoryError("cuMemAlloc failed: out of memory")
        return self.device.take(size)

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any, mem_flags: int = 0) -> np.ndarray:
        base = np.empty(shape, dtype).view(_PinnedBase)
        return base[...].view(np.ndarray)

    def memcpy_htod_async(self, target: int, source: np.ndarray, _stream: Any) -> None:
        self.device.queue(lambda: ctypes.memmove(target, source.ctypes.data, source.nbytes) and None)

    def memcpy_dtoh_async(self, target: np.ndarray, source: int, _stream: Any) -> None:
        self.device.queue(lambda: ctypes.memmove(target.ctypes.data, source, target.nbytes) and None)


class _PinnedBase(np.ndarray):
    def get_device_pointer(self) -> int:
        return int(self.ctypes.data)


class FakeLibcuda:
    """The graph calls of `libcuda.so.1` as ctypes sees them."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self._graphs: dict[int, list[Callable[[], None]]] = {}

    def cuStreamBeginCapture_v2(self, _stream: Any, _mode: Any) -> int:
        self.device.recording = []
        return self.device.fail.get("cuStreamBeginCapture", 0)

    def cuStreamEndCapture(self, _stream: Any, graph: Any) -> int:
        graph._obj.value = len(self._graphs) + 1
        self._graphs[graph._obj.value] = self.device.recording or []
        self.device.recording = None
        return 0

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: Any, _flags: Any) -> int:
        executable._obj.value = graph.value
        self.device.graphs += 1
        return 0

    def cuGraphDestroy(self, _graph: Any) -> int:
        return 0

    def cuGraphLaunch(self, graph: Any, _stream: Any) -> int:
        for work in self._graphs[graph.value]:
            work()
        return 0

    def cuGraphExecDestroy(self, _graph: Any) -> int:
        self.device.graphs -= 1
        return 0


def bindings(device: FakeDevice) -> Callable[[], CudaDriver]:
    return lambda: CudaBindingsDriver(FakeCudaBindings(device))


def pycuda(device: FakeDevice) -> Callable[[], CudaDriver]:
    return lambda: PycudaDriver(FakePycuda(device), FakeLibcuda(device))
