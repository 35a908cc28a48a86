"""After the network: its outputs become the report, with a result or the reason why there is none."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as utils

from lungsev.export.triton.serving import answer_each, numbers_of, stages_of, texts, texts_of
from lungsev.staged import Prepared


class TritonPythonModel:
    """One process; the repository's configuration says how many there are."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model's description.

        Raises:
            LungsevError: The description is damaged, or of another version than this lungsev.
        """
        self._stages = stages_of(args)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Write the reports of all requests."""
        return answer_each(utils, requests, self._conclude)

    def _conclude(self, request: Any) -> list[Any]:
        manifest = self._stages.manifest
        contexts, shape = texts_of(utils, request, "context")
        images = numbers_of(utils, request, manifest.input.name)
        outputs = {output.name: numbers_of(utils, request, output.name) for output in manifest.outputs}
        reports = []
        for index, context in enumerate(contexts):
            prepared = Prepared(images[index : index + 1], context.decode())
            own = {name: values[index : index + 1] for name, values in outputs.items()}
            reports.append(self._stages.conclude(prepared, own).to_json(indent=None))
        return [texts(utils, "report", reports, shape)]
