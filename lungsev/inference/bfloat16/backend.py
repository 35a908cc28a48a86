"""bfloat16 backend: an image is graded in bfloat16, and again in FP32 where a decision lies close to its border."""

from __future__ import annotations

from types import TracebackType

import numpy as np
import numpy.typing as npt

from lungsev.bundle.bfloat16 import Bfloat16
from lungsev.bundle.manifest import Manifest
from lungsev.inference.backend import Outputs, check_image
from lungsev.inference.bfloat16.decisions import close_decision
from lungsev.inference.bfloat16.passes import Passes


class Bfloat16Backend:
    """Runs a bundle's graph in two passes; what it says of an image is what FP32 says.

    Args:
        manifest: Of the bundle.
        measured: Margins of its graph.
        passes: Of its graph; closed with this.
        reason: Why bfloat16, for the report.

    Attributes:
        images: Number of images so far.
        graded_again: How many of them took the second pass.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, manifest: Manifest, measured: Bfloat16, passes: Passes, reason: str = "") -> None:
        self.passes = passes
        self.measured = measured
        self.images = self.graded_again = 0
        self._manifest = manifest
        self._why = reason
        self._close = ""

    @property
    def precision(self) -> str:
        """Of the last image's grades: `bf16`, or `fp32` after a second pass."""
        return "fp32" if self._close else "bf16"

    @property
    def reason(self) -> str:
        """Why this backend, and why the last image took a second pass, if it did."""
        again = f"bfloat16 first, and again in FP32: {self._close}" if self._close else ""
        return "; ".join(part for part in (self._why, again) if part)

    def infer(self, image: npt.NDArray[np.float32]) -> Outputs:
        """See `Backend.infer`."""
        check_image(image, self._manifest.input.size_px)
        outputs, handed = self.passes.first(image)
        self._close = close_decision(outputs, self._manifest, self.measured)
        self.images += 1
        if self._close:
            self.graded_again += 1
            outputs = {**outputs, **self.passes.again(handed)}
        return outputs

    def close(self) -> None:
        """See `Backend.close`."""
        self.passes.close()

    def __enter__(self) -> Bfloat16Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
