"""ONNX Runtime on the CPU: the backend that every machine has."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import onnxruntime

from lungsev.bundle.archive import Bundle
from lungsev.bundle.manifest import Precision
from lungsev.errors import BackendError
from lungsev.inference.backend import Outputs, check_image
from lungsev.inference.cpus import usable_cpus


class OnnxRuntimeBackend:
    """Runs a bundle's graph on the CPU.

    Args:
        bundle: Has the graph.
        precision: The FP16 graph is computed in FP32 here and is slower; it is for comparisons.
        threads: None uses every physical core that this process may use.
        reason: Why the CPU, for the report.

    Raises:
        BackendError: ONNX Runtime refuses the graph.
    """

    name = "onnxruntime"
    device = "cpu"

    def __init__(
        self, bundle: Bundle, precision: Precision = "fp32", threads: int | None = None, reason: str = ""
    ) -> None:
        self.precision: str = precision
        self.reason = reason
        self._size_px = bundle.manifest.input.size_px
        self._input_name = bundle.manifest.input.name
        self._session: onnxruntime.InferenceSession | None = open_session(bundle.graph_bytes(precision), threads)
        self._names = [output.name for output in self._session.get_outputs()]

    def infer(self, image: npt.NDArray[np.float32]) -> Outputs:
        """See `Backend.infer`."""
        if self._session is None:
            raise BackendError("the ONNX Runtime backend is closed; open it again")
        check_image(image, self._size_px)
        try:
            results = self._session.run(self._names, {self._input_name: np.ascontiguousarray(image)})
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise BackendError(f"ONNX Runtime failed: {_first_line(error)}") from None
        return {name: np.asarray(value, np.float32) for name, value in zip(self._names, results, strict=True)}

    def close(self) -> None:
        """See `Backend.close`."""
        self._session = None

    def __enter__(self) -> OnnxRuntimeBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_session(
    graph: bytes, threads: int | None = None, profile_to: Path | None = None
) -> onnxruntime.InferenceSession:
    """Open a CPU session with the settings that measured fastest (docs/decisions/0013-cpu-inference.md).

    Args:
        graph: Serialised ONNX.
        threads: None uses every physical core that this process may use.
        profile_to: Beginning of the file's path that `end_profiling` writes the time of every layer to.

    Raises:
        BackendError: ONNX Runtime refuses the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cpus()
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    if profile_to is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_to)
    options.log_severity_level = 3  # warnings of the optimizer are of no use to an operator
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise BackendError(f"ONNX Runtime {onnxruntime.__version__} refuses the graph: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
