"""Drive the builder and the runner through NVIDIA's real bindings, on the stub, and print what came of it as JSON.

Usage: tensorrt_calls.py FOLDER < GRAPH; the folder is that of the unpacked bindings. A process of its own, because
versions exclude each other, and because what is tried here may end it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path[:0] = [sys.argv[1], str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402
import tensorrt_bindings as trt  # noqa: E402
from fake_cuda import FakeDevice, bindings  # noqa: E402
from tensorrt_stub import BUILDER, PARSER, RUNTIME, Stub  # noqa: E402

from lungsev.errors import BackendError  # noqa: E402
from lungsev.inference.tensorrt.build import BuildOptions, BuiltEngine, build_engine  # noqa: E402
from lungsev.inference.tensorrt.library import load_tensorrt  # noqa: E402
from lungsev.inference.tensorrt.runner import TensorRTBackend  # noqa: E402

sys.modules["tensorrt"] = trt  # NVIDIA's package of that name does nothing else
library = load_tensorrt("tensorrt")
stub = Stub("libnvinfer.so.10")
graph = sys.stdin.buffer.read()
AUTOMATIC = BuildOptions()
LOG_SLOT = 0 if hasattr(trt.BuilderFlag, "FP16") else 4  # TensorRT 11 made the logger a versioned interface


class Builder:
    """A builder for which everything works, and the slots by which it can be made to fail."""

    def __init__(self) -> None:
        self.builder, self.network, self.config, self.parser, self.plan, self.timings = (stub.make() for _ in range(6))
        stub.factory(BUILDER, self.builder)
        stub.factory(PARSER, self.parser)
        log = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(log)
        self.create_network = stub.learn(lambda: builder.create_network(0))
        self.create_config = stub.learn(builder.create_builder_config)
        stub.answer(self.builder, self.create_network, self.network)
        stub.answer(self.builder, self.create_config, self.config)
        network, config = builder.create_network(0), builder.create_builder_config()
        parser = trt.OnnxParser(network, log)
        self.parse = stub.learn(lambda: parser.parse(b"graph"))
        self.build = stub.learn(lambda: builder.build_serialized_network(network, config))
        self.make_timings = stub.learn(lambda: config.create_timing_cache(b""))
        stub.answer(self.parser, self.parse, 1)
        stub.answer(self.builder, self.build, self.plan)
        stub.answer(self.config, self.make_timings, self.timings)
        stub.answer(self.config, stub.learn(config.get_timing_cache), self.timings)
        layer = stub.make()
        stub.answer(self.network, stub.learn(lambda: network.num_layers), 3)
        stub.answer(self.network, stub.learn(lambda: network.get_layer(0)), layer)
        found = network.get_layer(0)
        kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.MATRIX_MULTIPLY, trt.LayerType.SHUFFLE)
        stub.answer(layer, stub.learn(lambda: found.type), *(int(kind) for kind in kinds))
        precisions = (trt.DataType.HALF, trt.DataType.FLOAT)
        stub.answer(layer, stub.learn(lambda: found.get_output_type(0)), *(int(kind) for kind in precisions))
        self._contents(self.plan, builder.build_serialized_network(network, config), b"the plan")
        measured = stub.make()
        cache = config.get_timing_cache()
        stub.answer(self.timings, stub.learn(cache.serialize), measured)
        self._contents(measured, cache.serialize(), b"timings")

    def run(self, options: BuildOptions = AUTOMATIC, **answers: int) -> BuiltEngine:
        for name, value in answers.items():
            owner = {"parse": self.parser, "make_timings": self.config}.get(name, self.builder)
            stub.answer(owner, getattr(self, name), value)
        return build_engine(graph, library, options, lambda _phase, _share: None)

    @staticmethod
    def _contents(thing: int, memory: Any, contents: bytes) -> None:
        size, data = stub.learn(lambda: memory.nbytes), stub.learn(lambda: bytes(memory))
        stub.answer(thing, stub.learn(lambda: memory.dtype), int(trt.DataType.INT8))
        stub.answer(thing, size, len(contents))
        stub.answer(thing, data, contents)


class Engine:
    """An engine with one input and one output, for which everything works."""

    def __init__(self) -> None:
        self.runtime, self.engine, self.context, self.inspector = (stub.make() for _ in range(4))
        stub.factory(RUNTIME, self.runtime)
        runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self.load = stub.learn(lambda: runtime.deserialize_cuda_engine(b"the plan"))
        stub.answer(self.runtime, self.load, self.engine)
        engine = runtime.deserialize_cuda_engine(b"the plan")
        self.make_context = stub.learn(engine.create_execution_context)
        self.make_inspector = stub.learn(engine.create_engine_inspector)
        stub.answer(self.engine, self.make_context, self.context)
        stub.answer(self.engine, self.make_inspector, self.inspector)
        stub.answer(self.engine, stub.learn(lambda: engine.num_io_tensors), 2)
        stub.answer(self.engine, stub.learn(lambda: engine.get_tensor_name(0)), b"image", b"theta")
        self.kind = stub.learn(lambda: engine.get_tensor_dtype("image"))
        stub.answer(self.engine, self.kind, int(trt.DataType.FLOAT))
        modes = (trt.TensorIOMode.INPUT, trt.TensorIOMode.OUTPUT)
        stub.answer(self.engine, stub.learn(lambda: engine.get_tensor_mode("image")), *map(int, modes))
        context = engine.create_execution_context()
        self.bind = stub.learn(lambda: context.set_tensor_address("image", 0))
        self.execute = stub.learn(lambda: context.execute_async_v3(0))
        stub.answer(self.context, self.bind, 1)
        stub.answer(self.context, self.execute, 1)
        inspector = engine.create_engine_inspector()
        self.describe = stub.learn(lambda: inspector.get_engine_information(trt.LayerInformationFormat.JSON))
        layers = [
            {"Name": name, "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": kind}], "Outputs": []}
            for name, kind in (("first", "Float"), ("second", "Half"), ("third", "Half"))
        ]
        stub.answer(self.inspector, self.describe, json.dumps({"Layers": layers}).encode())

    def run(self, sides: Sequence[int] = (1, 1, 8, 8), **answers: int) -> dict[str, Any]:
        owners = {"load": self.runtime, "bind": self.context, "execute": self.context, "describe": self.inspector}
        for name, value in answers.items():
            stub.answer(owners.get(name, self.engine), getattr(self, name), value)
        stub.dims(*sides)
        device = FakeDevice()
        try:
            with TensorRTBackend(b"the plan", library, 8, "fp16", open_device=bindings(device)) as backend:
                outputs = backend.infer(np.ones((1, 1, 8, 8), np.float32))
                found = {"outputs": {name: values.shape for name, values in outputs.items()}}
                return {**found, "half_layers": backend.half_layers, "graph": backend.uses_graph}
        finally:
            assert device.is_clean


def profiled() -> dict[str, Any]:
    """The stub reports no layer; NVIDIA's bindings take our profiler and a second context, and run with it."""
    Engine()
    stub.dims(1, 1, 8, 8)
    with TensorRTBackend(b"the plan", library, 8, "fp16", open_device=bindings(FakeDevice())) as backend:
        told = backend.layer_times(np.ones((1, 1, 8, 8), np.float32), 2)
        clock = backend._runner._profiled[1]  # type: ignore[union-attr, index]
        clock.report_layer_time("first", 1.5)
        return {"told": told, "profiler": isinstance(clock, trt.IProfiler), "times": clock.times}


def with_full_log() -> BuiltEngine:
    builder = Builder()
    stub.log_soon(LOG_SLOT, int(trt.Logger.WARNING), "no driver was found")
    return builder.run()


def out_of_memory() -> BuiltEngine:
    builder = Builder()
    stub.log_soon(LOG_SLOT, int(trt.Logger.ERROR), "Error Code 2: OutOfMemory")
    return builder.run(build=0)


def parser_with_reasons() -> BuiltEngine:
    builder = Builder()
    parser = trt.OnnxParser(trt.Builder(trt.Logger(trt.Logger.ERROR)).create_network(0), trt.Logger(trt.Logger.ERROR))
    problem = stub.make()
    stub.answer(builder.parser, stub.learn(lambda: parser.num_errors), 1)
    stub.answer(builder.parser, stub.learn(lambda: parser.get_error(0)), problem)
    error = parser.get_error(0)
    for name in ("desc", "file", "func", "node_name", "node_operator"):
        if hasattr(error, name):
            stub.answer(problem, stub.learn(getattr(error, name)), b"no plugin Telepathy")
    return builder.run(parse=0)


def without(factory: int, work: Callable[[], Any]) -> Any:
    stub.factory(factory, None)
    return work()


SCENARIOS: dict[str, Callable[[], Any]] = {
    "build": lambda: Builder().run(BuildOptions(256, 2)),
    "build with a warning": with_full_log,
    "no builder": lambda: without(BUILDER, lambda: build_engine(graph, library)),
    "no network": lambda: Builder().run(create_network=0),
    "no parser": lambda: without(PARSER, Builder().run),
    "parser refuses with reasons": parser_with_reasons,
    "parser refuses": lambda: Builder().run(parse=0),
    "no config": lambda: Builder().run(create_config=0),
    "no timings": lambda: Builder().run(make_timings=0),
    "no plan": lambda: Builder().run(build=0),
    "out of memory": out_of_memory,
    "another capability": lambda: Builder().run(BuildOptions(compute_capability="8.9")),
    "run": lambda: Engine().run(),
    "profile": profiled,
    "no runtime": lambda: without(RUNTIME, lambda: TensorRTBackend(b"", library, 8, "fp16", open_device=device_of)),
    "plan refused": lambda: Engine().run(load=0),
    "no context": lambda: Engine().run(make_context=0),
    "no inspector": lambda: Engine().run(make_inspector=0),
    "half tensors": lambda: Engine().run(kind=int(trt.DataType.HALF)),
    "no fixed shape": lambda: Engine().run((1, 1, -1, 8)),
    "address refused": lambda: Engine().run(bind=0),
    "not queued": lambda: Engine().run(execute=0),
}


def device_of() -> Any:
    return bindings(FakeDevice())()


def outcome(work: Callable[[], Any]) -> Any:
    try:
        found = work()
    except BackendError as error:
        return f"BackendError: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if isinstance(found, BuiltEngine):
        plan, timings = found.plan.decode(), found.timing_cache.decode()
        return {"plan": plan, "timings": timings, "layers": (found.half_layers, found.layers), "said": found.warnings}
    return found


def members() -> dict[str, list[str]]:
    """Classes and enumerations of the module, with their public names."""
    kinds = {name: kind for name, kind in vars(trt).items() if isinstance(kind, type)}
    return {name: [member for member in dir(kind) if not member.startswith("_")] for name, kind in kinds.items()}


print(
    json.dumps(
        {
            "version": library.version,
            "strongly_typed": library.strongly_typed,
            "outcomes": {name: outcome(work) for name, work in SCENARIOS.items()},
            "members": members(),
        }
    )
)
