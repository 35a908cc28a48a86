"""The contract every inference backend meets."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Outputs = dict[str, npt.NDArray[np.float32]]


class Backend(Protocol):
    """Runs one bundle's fused graph. Opened once, used from one thread, closed explicitly.

    Attributes:
        name: As in the report: `onnxruntime`, `tensorrt`, `openvino`.
        device: As in the report: `cpu`, `NVIDIA Jetson Orin Nano`.
        precision: `fp32`, `bf16` or `fp16`.
    """

    name: str
    device: str
    precision: str

    def infer(self, image: npt.NDArray[np.float32]) -> Outputs:
        """Run the graph.

        Args:
            image: float32 [N, 1, S, S], 0-1; N as the graph allows (1 always works).

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
class MovesRadiographs(Protocol):
    """A backend whose device has memory of its own."""

    def transfer(self, image: npt.NDArray[np.float32]) -> None:
        """Only bring an image to the device and the last outputs back, to time that alone; arguments as `infer`."""
        ...
