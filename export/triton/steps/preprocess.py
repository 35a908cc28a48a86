"""Before the network: the bytes of an image file become the network's input. Read in a child process, as everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as utils

from lungsev.export.triton.serving import answer_each, stages_of, texts, texts_of
from lungsev.sandbox.client import Sandbox


class TritonPythonModel:
    """One process; the repository's configuration says how many there are."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model's description and start the process that reads.

        Raises:
            LungsevError: The description or the reading process is not usable here.
        """
        self._stages = stages_of(args)
        self._sandbox = Sandbox()
        self._sandbox.start()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Prepare the images of all requests."""
        return answer_each(utils, requests, self._prepare)

    def finalize(self) -> None:
        """End the process that reads."""
        self._sandbox.close()

    def _prepare(self, request: Any) -> list[Any]:
        files, shape = texts_of(utils, request, "file")
        prepared = [self._stages.prepare(data, self._sandbox) for data in files]
        return [
            utils.Tensor(self._stages.manifest.input.name, np.concatenate([image.pixels for image in prepared])),
            texts(utils, "context", [image.context for image in prepared], shape),
        ]
