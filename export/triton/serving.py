"""What the Python models of a repository share: the model they belong to, and the tensors of a request.

Runs on the server, with `lungsev` and NumPy. `triton_python_backend_utils` is Triton's own module, there only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.errors import LungsevError
from lungsev.staged import Stages, open_stages


def parameters_of(arguments: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of the model's config.pbtxt from what Triton gives to `initialize`."""
    stated = json.loads(arguments["model_config"]).get("parameters", {})
    return {name: value["string_value"] for name, value in stated.items()}


def folder_of(arguments: Mapping[str, str]) -> Path:
    """Return the folder of the model's files."""
    return Path(arguments["model_repository"]) / arguments["model_version"]


def stages_of(arguments: Mapping[str, str]) -> Stages:
    """Return the stages around the network.

    Raises:
        BundleError: The description of the model is damaged, or of another version than the lungsev that is installed.
    """
    stated = parameters_of(arguments)
    reason = f"{stated['network']} of a Triton server"
    return open_stages(folder_of(arguments), "triton", stated["device"], stated["precision"], reason)


def texts_of(utils: Any, request: Any, name: str) -> tuple[list[bytes], tuple[int, ...]]:
    """Return the texts of an input, and its shape."""
    values = utils.get_input_tensor_by_name(request, name).as_numpy()
    return [bytes(value) for value in values.reshape(-1)], values.shape


def texts(utils: Any, name: str, values: Sequence[str], shape: tuple[int, ...]) -> Any:
    """Return an output of texts."""
    return utils.Tensor(name, np.array([value.encode() for value in values], dtype=object).reshape(shape))


def numbers_of(utils: Any, request: Any, name: str) -> npt.NDArray[np.float32]:
    """Return an input of numbers, whose first side is the image.

    Raises:
        LungsevError: The server's Python backend was built before NumPy 2, which makes every number the first one.
    """
    values: npt.NDArray[np.float32] = utils.get_input_tensor_by_name(request, name).as_numpy()
    if 0 in values.strides:
        raise LungsevError(
            f"this Triton server's Python backend cannot use NumPy {np.__version__}; install 'numpy<2' for it, "
            "or use a newer Triton"
        )
    return values


def answer_each(utils: Any, requests: Iterable[Any], answer: Callable[[Any], list[Any]]) -> list[Any]:
    """Return a response for each request: its outputs, or the error that a person on the server can correct.

    Args:
        utils: Triton's module `triton_python_backend_utils`.
        requests: As Triton collected them.
        answer: Returns the outputs of one request.
    """

    def respond(request: Any) -> Any:
        try:
            return utils.InferenceResponse(output_tensors=answer(request))
        except LungsevError as error:
            return utils.InferenceResponse(output_tensors=[], error=utils.TritonError(str(error)))

    return [respond(request) for request in requests]
