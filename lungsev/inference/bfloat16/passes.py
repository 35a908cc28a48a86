"""The two passes of a graph: the whole with its severity network in bfloat16, and that network again in FP32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lungsev.errors import BackendError, LungsevError
from lungsev.inference.backend import Outputs
from lungsev.inference.openvino import compile_model, first_line

Handed = Sequence[npt.NDArray[Any]]


class Passes(Protocol):
    """Both passes of an image."""

    def first(self, image: npt.NDArray[np.float32]) -> tuple[Outputs, Handed]:
        """Return the outputs with the severity network in bfloat16, and what the second pass takes.

        Args:
            image: float32 [1, 1, S, S], 0-1.
        """
        ...

    def again(self, handed: Handed) -> Outputs:
        """Return the outputs of the severity network, in FP32."""
        ...

    def close(self) -> None:
        """Free the models."""
        ...


class OpenVinoPasses:
    """Both passes by OpenVINO.

    Args:
        graph: Serialised FP32 ONNX.
        entry_depth: See `lungsev.bundle.bfloat16`.
        threads: None uses every physical core that this process may use.
        emulated: Compute in FP32 what a processor with bfloat16 computes.

    Attributes:
        half_share: Share of the arithmetic in bfloat16, 0-1.

    Raises:
        MissingExtraError: openvino is not installed.
        BackendError: It refuses the graph.
    """

    def __init__(self, graph: bytes, entry_depth: int, threads: int | None = None, emulated: bool = False) -> None:
        from lungsev.inference.bfloat16.graph import to_bfloat16

        try:
            converted = to_bfloat16(graph, entry_depth, emulated)
        except LungsevError:
            raise
        except Exception as error:  # of a release whose interface changed; nothing that stops FP32
            raise BackendError(f"OpenVINO does not convert the graph: {first_line(error)}") from None
        self.half_share = converted.half_share
        self._first: Any = compile_model(converted.first, threads)
        self._again: Any = compile_model(converted.again, threads)
        self._requests = [model.create_infer_request() for model in (self._first, self._again)]
        self._names = (converted.first_outputs, converted.again_outputs)

    def first(self, image: npt.NDArray[np.float32]) -> tuple[Outputs, Handed]:
        """See `Passes`."""
        results = self._run(0, [np.ascontiguousarray(image)])
        own = self._names[0]
        return dict(zip(own, results, strict=False)), results[len(own) :]  # then what it hands over

    def again(self, handed: Handed) -> Outputs:
        """See `Passes`."""
        return dict(zip(self._names[1], self._run(1, handed), strict=True))

    def close(self) -> None:
        """See `Passes`."""
        self._first = self._again = None  # before their requests: the other way round OpenVINO 2026.4 damages memory
        self._requests = []

    def _run(self, index: int, inputs: Handed) -> list[npt.NDArray[Any]]:
        if not self._requests:
            raise BackendError("the bfloat16 backend is closed; open it again")
        try:
            results = self._requests[index].infer(list(inputs))
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed: {first_line(error)}") from None
        return [np.array(values) for values in results.values()]
