from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_triton
import numpy as np
import pytest

from lungsev.errors import BackendError, LungsevError
from lungsev.export.triton.config import PREPROCESS
from lungsev.export.triton.serving import answer_each, folder_of, numbers_of, parameters_of, stages_of, texts, texts_of


@pytest.fixture(scope="module")
def utils() -> ModuleType:
    return fake_triton.python_backend()


def test_a_step_knows_its_parameters_and_its_folder(server: fake_triton.FakeServer, repository: Path) -> None:
    arguments = server.arguments(repository / PREPROCESS)
    assert folder_of(arguments) == repository / PREPROCESS / "1"
    assert parameters_of(arguments)["network"] == "lungsev_python"
    assert parameters_of({"model_config": json.dumps({})}) == {}


def test_a_step_knows_its_model_and_who_runs_the_network(server: fake_triton.FakeServer, repository: Path) -> None:
    model = stages_of(server.arguments(repository / PREPROCESS)).model
    assert (model.name, model.backend, model.device, model.precision) == ("tiny", "triton", "cpu", "fp32")
    assert model.reason == "lungsev_python of a Triton server"


@pytest.mark.parametrize("shape", [(2, 1), (2,)])
def test_texts_keep_their_bytes_and_their_shape(utils: ModuleType, shape: tuple[int, ...]) -> None:
    tensor = texts(utils, "report", ["ä", ""], shape)
    values, found = texts_of(utils, {"report": tensor.as_numpy()}, "report")
    assert values == ["ä".encode(), b""]
    assert found == shape


def test_numbers_that_are_all_the_first_one_are_noticed(utils: ModuleType) -> None:
    """What a Python backend built before NumPy 2 makes of an array under NumPy 2."""
    broken = np.lib.stride_tricks.as_strided(np.ones(1, np.float32), (1, 1, 4, 4), (0, 0, 0, 0))
    with pytest.raises(LungsevError, match=r"cannot use NumPy .*; install 'numpy<2'"):
        numbers_of(utils, {"image": broken}, "image")
    whole = np.ones((1, 1, 4, 4), np.float32)
    assert numbers_of(utils, {"image": whole}, "image") is whole


def test_an_error_of_the_device_answers_its_own_request_alone(utils: ModuleType) -> None:
    def answer(request: Any) -> list[Any]:
        if request == "bad":
            raise BackendError("the device failed")
        return [request]

    first, second, third = answer_each(utils, ["good", "bad", "fine"], answer)
    assert (first.outputs, first.error, third.outputs) == (["good"], None, ["fine"])
    assert second.error.message == "the device failed"
