"""Stand-in of a Triton server: reads the repository's configurations and runs its ensemble in this process.

It holds every tensor against the types and dims of config.pbtxt, as Triton does, and gives the Python models a stand-in
of `triton_python_backend_utils`. The real server judges both in `tests/export/triton/test_server.py`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from lungsev.inference.onnxruntime import open_session

TOKENS = re.compile(r'"(?:\\.|[^"\\])*"|[\w.+-]+|[{}\[\]:,]')
PLAN = b"a plan" * 100
TYPES = {"TYPE_FP32": np.float32, "TYPE_STRING": np.object_}


def read_config(text: str) -> dict[str, list[Any]]:
    """A configuration as lists by field name: protobuf's text format, as much of it as Triton's files use."""
    tokens = TOKENS.findall(text)
    assert re.sub(r"\s", "", text) == "".join(re.sub(r"\s", "", token) for token in tokens)
    tokens.append("}")
    return _message(tokens)


def _message(tokens: list[str]) -> dict[str, list[Any]]:
    fields: dict[str, list[Any]] = {}
    while (name := tokens.pop(0)) != "}":
        if name == ",":
            continue
        if tokens[0] == ":":
            tokens.pop(0)
        values = _list(tokens) if tokens[0] == "[" else [_value(tokens)]
        fields.setdefault(name, []).extend(values)
    return fields


def _list(tokens: list[str]) -> list[Any]:
    tokens.pop(0)
    values = []
    while tokens[0] != "]":
        values.append(_value(tokens))
        if tokens[0] == ",":
            tokens.pop(0)
            assert tokens[0] != "]", "a comma before the end of a list"
    tokens.pop(0)
    return values


def _value(tokens: list[str]) -> Any:
    token = tokens.pop(0)
    if token == "{":
        return _message(tokens)
    assert token not in "}]:,", f"unexpected {token}"
    return token[1:-1].replace('\\"', '"').replace("\\\\", "\\") if token.startswith('"') else token


class Tensor:
    def __init__(self, name: str, values: np.ndarray) -> None:
        self._name, self._values = name, values

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> np.ndarray:
        return self._values


class TritonError:
    def __init__(self, message: str) -> None:
        self.message = message


class InferenceServerException(Exception):
    pass


def python_backend() -> ModuleType:
    """`triton_python_backend_utils`."""
    module = ModuleType("triton_python_backend_utils")

    def get_input_tensor_by_name(request: dict[str, np.ndarray], name: str) -> Tensor:
        return Tensor(name, request[name])

    def respond(output_tensors: list[Tensor], error: TritonError | None = None) -> SimpleNamespace:
        return SimpleNamespace(outputs=output_tensors, error=error)

    vars(module).update(
        Tensor=Tensor,
        TritonError=TritonError,
        InferenceResponse=respond,
        get_input_tensor_by_name=get_input_tensor_by_name,
    )
    return module


def load_step(path: Path) -> Any:
    """The class of a Python model, as Triton loads it."""
    sys.modules.setdefault("triton_python_backend_utils", python_backend())
    spec = importlib.util.spec_from_file_location(f"triton_{path.parts[-3]}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TritonPythonModel


class FakeServer:
    def __init__(self, repository: Path) -> None:
        self.configs: dict[str, dict[str, list[Any]]] = {}
        self.python: dict[str, Any] = {}
        self._graphs: dict[str, Any] = {}
        for folder in sorted(path for path in repository.iterdir() if path.is_dir()):
            assert (folder / "1").is_dir()
            config = self.configs[folder.name] = read_config((folder / "config.pbtxt").read_text())
            assert config["name"] == [folder.name]
            kind = (config.get("backend") or config["platform"])[0]
            if kind == "python":
                self.python[folder.name] = load_step(folder / "1" / "model.py")()
                self.python[folder.name].initialize(self.arguments(folder))
            elif kind == "onnxruntime":
                self._graphs[folder.name] = open_session((folder / "1" / "model.onnx").read_bytes(), 1)

    def arguments(self, folder: Path) -> dict[str, str]:
        """What Triton gives to `initialize`."""
        config = json.dumps({"parameters": self.parameters(folder.name)})
        return {"model_config": config, "model_repository": str(folder), "model_version": "1"}

    def parameters(self, model: str) -> dict[str, Any]:
        entries = self.configs[model].get("parameters", [])
        return {entry["key"][0]: {"string_value": entry["value"][0]["string_value"][0]} for entry in entries}

    def is_batched(self, model: str) -> bool:
        return self.configs[model]["max_batch_size"] != ["0"]

    def infer(self, model: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        config = self.configs[model]
        self._check(model, config["input"], inputs)
        if "ensemble_scheduling" in config:
            outputs = self._run_ensemble(config, inputs)
        elif model in self.python:
            (response,) = self.python[model].execute([inputs])
            if response.error is not None:
                raise InferenceServerException(response.error.message)
            outputs = {tensor.name(): tensor.as_numpy() for tensor in response.outputs}
        else:
            names = [output["name"][0] for output in config["output"]]
            outputs = dict(zip(names, self._graphs[model].run(names, inputs), strict=True))
        self._check(model, config["output"], outputs)
        return outputs

    def close(self) -> None:
        for model in self.python.values():
            if hasattr(model, "finalize"):
                model.finalize()

    def _run_ensemble(self, config: dict[str, list[Any]], tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for step in config["ensemble_scheduling"][0]["step"]:
            taken = {entry["key"][0]: tensors[entry["value"][0]] for entry in step["input_map"]}
            given = self.infer(step["model_name"][0], taken)
            tensors = tensors | {entry["value"][0]: given[entry["key"][0]] for entry in step["output_map"]}
        return {output["name"][0]: tensors[output["name"][0]] for output in config["output"]}

    def _check(self, model: str, stated: list[dict[str, list[str]]], tensors: dict[str, np.ndarray]) -> None:
        assert {tensor["name"][0] for tensor in stated} == set(tensors)
        for tensor in stated:
            found = tensors[tensor["name"][0]]
            dims = tuple(map(int, tensor["dims"]))
            assert found.dtype == TYPES[tensor["data_type"][0]]
            assert (found.shape[1:] if self.is_batched(model) else found.shape) == dims, tensor["name"]


def client_modules(server: FakeServer) -> dict[str, ModuleType]:
    """`tritonclient` with its two protocols, whose server is in this process."""

    class InferInput:
        def __init__(self, name: str, shape: list[int], kind: str) -> None:
            assert kind == "BYTES"
            self.name, self.shape = name, shape

        def set_data_from_numpy(self, values: np.ndarray) -> None:
            assert list(values.shape) == self.shape
            self.values = values

    class InferenceServerClient:
        def __init__(self, url: str) -> None:
            if url != "server:8000":
                raise InferenceServerException(f"no server at {url}")

        def get_model_config(self, model: str, as_json: bool = False) -> dict[str, Any]:
            config = {"parameters": server.parameters(model), "max_batch_size": 8 if server.is_batched(model) else 0}
            return {"config": config} if as_json else config

        def infer(self, model: str, inputs: list[InferInput]) -> Any:
            answer = server.infer(model, {given.name: given.values for given in inputs})
            return SimpleNamespace(as_numpy=answer.__getitem__)

        def close(self) -> None:
            pass

    modules = {f"tritonclient{name}": ModuleType(f"tritonclient{name}") for name in ("", ".http", ".grpc", ".utils")}
    for name in ("http", "grpc"):
        protocol = modules[f"tritonclient.{name}"]
        vars(protocol).update(InferInput=InferInput, InferenceServerClient=InferenceServerClient)
        setattr(modules["tritonclient"], name, protocol)
    vars(modules["tritonclient.utils"]).update(InferenceServerException=InferenceServerException)
    return modules


def write_plan(folder: Path, graph: str, library: str = "tensorrt", plan: bytes = PLAN) -> Path:
    """A plan and its side file as the engine cache writes them; one of other bytes than PLAN is damaged."""
    path = folder / "engine.plan"
    path.write_bytes(plan)
    side = {"key": {"graph_sha256": graph, "library": library}, "plan_sha256": hashlib.sha256(PLAN).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(side))
    return path
