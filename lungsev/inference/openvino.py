"""OpenVINO on the CPU in FP32, optional. `lungsev.inference.bfloat16` runs on it, too."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError, MissingExtraError
from lungsev.inference.backend import Outputs, check_image
from lungsev.inference.cpus import usable_cpus


class OpenVinoBackend:
    """Runs a bundle's FP32 graph.

    Args:
        bundle: Has the graph.
        threads: None uses every physical core that this process may use.

    Raises:
        MissingExtraError: openvino is not installed.
        BackendError: It refuses the graph.
    """

    name = "openvino"
    reason = "chosen by name"  # it is never chosen otherwise
    device = "cpu"
    precision = "fp32"

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        self._size_px = bundle.manifest.input.size_px
        self._compiled: Any = compile_model(read_graph(bundle.graph_bytes("fp32")), threads)
        self._request: Any = self._compiled.create_infer_request()
        stated = {output.name for output in bundle.manifest.outputs}  # a tensor may have other names beside its own
        self._names = {output: next(iter(output.get_names() & stated)) for output in self._compiled.outputs}

    def infer(self, image: npt.NDArray[np.float32]) -> Outputs:
        """See `Backend.infer`."""
        if self._request is None:
            raise BackendError("the OpenVINO backend is closed; open it again")
        check_image(image, self._size_px)
        try:
            results = self._request.infer([np.ascontiguousarray(image)])
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed: {first_line(error)}") from None
        return {name: np.array(results[output], np.float32) for output, name in self._names.items()}

    def close(self) -> None:
        """See `Backend.close`."""
        self._compiled = None  # before its request, see `OpenVinoPasses.close`
        self._request = None

    def __enter__(self) -> OpenVinoBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_graph(graph: bytes) -> Any:
    """Return an ONNX graph as OpenVINO's model.

    Raises:
        MissingExtraError: openvino is not installed.
        BackendError: It refuses the graph.
    """
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("the openvino backend", "openvino") from None
    try:
        return openvino.Core().read_model(graph, b"")
    except RuntimeError as error:
        raise BackendError(f"OpenVINO refuses the graph: {first_line(error)}") from None


def compile_model(model: Any, threads: int | None = None) -> Any:
    """Return a model compiled for the CPU, which computes in the types that the model states.

    Raises:
        BackendError: OpenVINO refuses the model.
    """
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads or usable_cpus(),
        "INFERENCE_PRECISION_HINT": "f32",  # else it takes bfloat16 for everything where the processor has it
    }
    try:
        return openvino.Core().compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise BackendError(f"OpenVINO refuses the graph: {first_line(error)}") from None


def first_line(error: Exception) -> str:
    """Return the first line of one of OpenVINO's messages, which hold its whole stack."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
