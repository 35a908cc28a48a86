"""The network by lungsev's own ONNX Runtime, for servers without Triton's backend of that name."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as utils

from lungsev.bundle.archive import read_bundle
from lungsev.export.triton.serving import answer_each, folder_of, numbers_of
from lungsev.inference.onnxruntime import OnnxRuntimeBackend


class TritonPythonModel:
    """One process with all cores; a second one would take turns with it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the bundle and its graph.

        Raises:
            LungsevError: The bundle is damaged, or of another version than this lungsev.
        """
        self._bundle = read_bundle(folder_of(args) / "bundle")
        self._backend = OnnxRuntimeBackend(self._bundle)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run the graph on the images of all requests, one after the other: the CPU gains nothing from batches."""
        return answer_each(utils, requests, self._run)

    def finalize(self) -> None:
        """Free the graph."""
        self._backend.close()

    def _run(self, request: Any) -> list[Any]:
        manifest = self._bundle.manifest
        images = numbers_of(utils, request, manifest.input.name)
        each = [self._backend.infer(images[index : index + 1]) for index in range(len(images))]
        return [
            utils.Tensor(output.name, np.concatenate([outputs[output.name] for outputs in each]))
            for output in manifest.outputs
        ]
