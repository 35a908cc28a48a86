"""Contract of every inference backend."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from lungsev.errors import BackendError

Outputs = dict[str, npt.NDArray[np.float32]]


class Backend(Protocol):
    """Runs one bundle's fused graph. Opened once, used from one thread, closed explicitly."""

    @property
    def name(self) -> str:
        """For the report: `onnxruntime`, `tensorrt` or `openvino`."""
        ...

    @property
    def device(self) -> str:
        """For the report, e.g. `cpu` or `NVIDIA Jetson Orin Nano`."""
        ...

    @property
    def precision(self) -> str:
        """For the report: `fp32`, `bf16` or `fp16`."""
        ...

    def infer(self, image: npt.NDArray[np.float32]) -> Outputs:
        """Run the graph.

        Args:
            image: float32 [N, 1, S, S], 0-1; N that the graph allows (1 always works).

        Returns:
            Graph output name to float32 array; owned by the caller.

        Raises:
            BackendError: The shape is wrong or the device failed.
        """
        ...

    def close(self) -> None:
        """Free the device. A closed backend raises BackendError when used."""
        ...

    def __enter__(self) -> Backend: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class DeviceMemoryBackend(Protocol):
    """A backend whose device has its own memory."""

    def transfer(self, image: npt.NDArray[np.float32]) -> None:
        """Copy an image to the device and the last outputs back, without a run, to time the copies alone.

        Args:
            image: float32 [1, 1, S, S], 0-1.
        """
        ...


@runtime_checkable
class LayerTimer(Protocol):
    """A backend that can tell the time of each of its layers."""

    def layer_times(self, image: npt.NDArray[np.float32], runs: int) -> list[tuple[str, float]]:
        """Run the graph some times and return the name and the milliseconds of every layer of every run.

        Args:
            image: float32 [1, 1, S, S], 0-1.
            runs: Number of runs; one before them is not counted.
        """
        ...


def check_image(image: npt.NDArray[np.float32], size_px: int) -> None:
    """Check that an image is a float32 [1, 1, S, S] batch.

    Raises:
        BackendError: The shape or the type is wrong.
    """
    expected = (1, 1, size_px, size_px)
    if image.shape != expected or image.dtype != np.float32:
        raise BackendError(f"found an image of {image.dtype} {image.shape}, the graph takes float32 {expected}")
