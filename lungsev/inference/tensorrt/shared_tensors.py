"""Tensors in memory that two processes share: the canvas goes one way, the graph's outputs the other."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lungsev.bundle.manifest import Manifest
from lungsev.errors import BackendError
from lungsev.inference.backend import Outputs

_ALIGNMENT = 64  # bytes
_FLOAT_BYTES = 4


class SharedTensors:
    """Input and outputs of a bundle's graph in one memory file.

    Args:
        manifest: Has the shapes.
        descriptor: Memory file of the other process; None makes one.

    Attributes:
        image: float32 [1, 1, S, S].
    """

    def __init__(self, manifest: Manifest, descriptor: int | None = None) -> None:
        side = manifest.input.size_px
        shapes = {output.name: tuple(output.shape) for output in manifest.outputs}
        sizes = [_padded(shape) for shape in ((1, 1, side, side), *shapes.values())]
        self.descriptor = os.memfd_create("tensors", os.MFD_CLOEXEC) if descriptor is None else descriptor
        if descriptor is None:
            os.ftruncate(self.descriptor, sum(sizes))
        self._memory = mmap.mmap(self.descriptor, sum(sizes))
        starts = np.cumsum([0, *sizes])
        self.image = self._array(int(starts[0]), (1, 1, side, side))
        self._outputs = {name: self._array(int(starts[i + 1]), shape) for i, (name, shape) in enumerate(shapes.items())}

    def write(self, outputs: Outputs) -> None:
        """Write what the engine gave.

        Raises:
            BackendError: An output is missing, or has another shape.
        """
        for name, target in self._outputs.items():
            found = outputs.get(name)
            if found is None or found.shape != target.shape:
                shape = None if found is None else found.shape
                raise BackendError(f"the engine gives {name} as {shape}, expected {target.shape}; build it again")
            np.copyto(target, found)

    def read(self) -> Outputs:
        """Return copies of the outputs."""
        return {name: values.copy() for name, values in self._outputs.items()}

    def close(self) -> None:
        """Close the memory file; arrays that still refer to it keep their memory."""
        os.close(self.descriptor)

    def _array(self, start: int, shape: Sequence[int]) -> npt.NDArray[np.float32]:
        return np.frombuffer(self._memory, np.float32, int(np.prod(shape)), start).reshape(tuple(shape))


def _padded(shape: Sequence[int]) -> int:
    size = int(np.prod(shape)) * _FLOAT_BYTES
    return -(-size // _ALIGNMENT) * _ALIGNMENT
