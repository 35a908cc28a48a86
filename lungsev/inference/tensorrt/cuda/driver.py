"""Contract of the CUDA bindings: the few parts of CUDA that a backend needs (memory, copies, one stream, graphs).

Every binding uses the device's primary context, as TensorRT and other libraries of the process do; it belongs to the
thread that opened the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from lungsev.inference.tensorrt.cuda.board import board_name
from lungsev.system import available_memory_bytes

CAPTURE_THREAD_LOCAL = 1

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DeviceInfo:
    """The GPU.

    Attributes:
        name: Of the card, or of the board with an integrated GPU.
        driver: Newest CUDA version that the driver supports.
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


def device_info(name: str, compute_capability: str, driver: str, integrated: bool, free_bytes: int) -> DeviceInfo:
    """Describe a device from what CUDA says of it, and an integrated one from what the system says."""
    if integrated:  # CUDA's free memory leaves out what the kernel would give back from its caches
        name, free_bytes = board_name() or name, available_memory_bytes() or free_bytes
    return DeviceInfo(name, compute_capability, driver, integrated, free_bytes)


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


def driver_version(number: int) -> str:
    """Format the newest CUDA version that the driver supports: 12040 is 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"
