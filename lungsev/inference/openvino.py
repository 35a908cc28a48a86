"""OpenVINO on the CPU, optional. Its bfloat16 is faster where the processor has it, and changes grades."""

from __future__ import annotations

from pathlib import Path
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
        bfloat16: Compute in bfloat16. Never chosen automatically: on 139 real images it changed 30 of 834 grades of the
            packaged model (docs/decisions/0013-cpu-inference.md).

    Raises:
        MissingExtraError: openvino is not installed.
        BackendError: It refuses the graph.
    """

    name = "openvino"
    reason = "chosen by name"  # it is never chosen otherwise
    device = "cpu"

    def __init__(self, bundle: Bundle, threads: int | None = None, bfloat16: bool = False) -> None:
        try:
            import openvino
        except ImportError:
            raise MissingExtraError("the openvino backend", "openvino") from None
        self.precision = "bf16" if bfloat16 else "fp32"
        self._size_px = bundle.manifest.input.size_px
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or usable_cpus(),
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        }
        try:
            core = openvino.Core()
            model = core.read_model(bundle.graph_bytes("fp32"), b"")
            self._compiled: Any = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise BackendError(f"OpenVINO refuses the graph: {str(error).splitlines()[0][:300]}") from None
        self._request: Any = self._compiled.create_infer_request()
        self._names = {output: next(iter(output.get_names())) for output in self._compiled.outputs}

    def infer(self, image: npt.NDArray[np.float32]) -> Outputs:
        """See `Backend.infer`."""
        if self._request is None:
            raise BackendError("the OpenVINO backend is closed; open it again")
        check_image(image, self._size_px)
        try:
            results = self._request.infer([np.ascontiguousarray(image)])
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed: {str(error).splitlines()[0][:300]}") from None
        return {name: np.array(results[output], np.float32) for output, name in self._names.items()}

    def close(self) -> None:
        """See `Backend.close`."""
        self._request = self._compiled = None

    def __enter__(self) -> OpenVinoBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor multiplies bfloat16 matrices in hardware."""
    try:
        words = cpuinfo.read_text(encoding="ascii", errors="ignore").split()
    except OSError:
        return False
    return "amx_bf16" in words or "avx512_bf16" in words
