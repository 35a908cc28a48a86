"""A stand-in for `tensorrt`: an engine computes its graph with ONNX Runtime at the addresses it was given."""

from __future__ import annotations

import ctypes
import json
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from fake_cuda import FakeDevice

from lungsev.inference.tensorrt.library import Flavour, TensorRTLibrary, describe_library


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1


class LayerType(IntEnum):
    CONVOLUTION = 0
    MATRIX_MULTIPLY = 1
    OTHER = 2


class TensorIOMode(IntEnum):
    INPUT = 1
    OUTPUT = 2


class FakeLogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO = 0, 1, 2, 3

    def __init__(self, _severity: int = 2) -> None:
        pass


PLAN_MARK = b"fake plan of "


def make_fake_tensorrt(device: FakeDevice, **faults: Any) -> Any:
    """A module like `tensorrt` 10.

    Faults: `version` text; `profile`, the layers that a profiler is told; `build_error` logged before a None;
    `parse_error`; `refuse_plans`; `nullptr`, the class that pybind makes no object of; `layers` that the inspector
    names; `output_offset` added to every output (a wrong engine).
    """

    def refuse_without_device(kind: str) -> None:
        if faults.get("nullptr") == kind:
            raise TypeError("pybind11::init(): factory function returned nullptr")

    class Builder:
        def __init__(self, log: Any) -> None:
            refuse_without_device("Builder")
            self.log = log

        def create_network(self, flags: int) -> Any:
            return SimpleNamespace(flags=flags, num_layers=0)

        def create_builder_config(self) -> Any:
            module.flags = {"TF32"}  # as TensorRT's own
            return SimpleNamespace(
                create_timing_cache=lambda measured: measured,
                set_timing_cache=lambda measured, _ignore: setattr(module, "timings", measured),
                get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"measured %d" % module.builds),
                num_compute_capabilities=0,
                set_compute_capability=lambda _capability, _index: None,
                set_memory_pool_limit=lambda _pool, size: setattr(module, "workspace", size),
                set_flag=module.flags.add,
                clear_flag=module.flags.discard,
                builder_optimization_level=3,
            )

        def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
            module.builds += 1
            if "build_error" in faults:
                self.log.log(FakeLogger.ERROR, faults["build_error"])
                return None
            monitor = getattr(config, "progress_monitor", None)
            if monitor is not None:
                monitor.phase_start("Building", None, 2)
                monitor.step_complete("Building", 0)
                monitor.phase_finish("Building")
            return PLAN_MARK + network.graph

    class OnnxParser:
        num_errors = 1

        def __init__(self, network: Any, _log: Any) -> None:
            self.network = network

        def parse(self, graph: bytes) -> bool:
            layers = [
                SimpleNamespace(
                    type=LayerType.CONVOLUTION,
                    get_output_type=lambda _index: DataType.HALF,
                )
                for node in onnx.load_from_string(graph).graph.node
                if node.op_type in ("Conv", "MatMul")
            ]
            self.network.graph, self.network.num_layers = graph, len(layers)
            self.network.get_layer = layers.__getitem__
            return "parse_error" not in faults

        def get_error(self, _index: int) -> str:
            return str(faults["parse_error"])

    class Runtime:
        def __init__(self, _log: Any) -> None:
            refuse_without_device("Runtime")

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            if not plan.startswith(PLAN_MARK) or faults.get("refuse_plans"):
                return None
            return ICudaEngine(plan.removeprefix(PLAN_MARK))

    class ICudaEngine:
        def __init__(self, graph: bytes) -> None:
            self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
            self.tensors = [*self.session.get_inputs(), *self.session.get_outputs()]

        @property
        def num_io_tensors(self) -> int:
            return len(self.tensors)

        def get_tensor_name(self, index: int) -> str:
            return str(self.tensors[index].name)

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return tuple(next(tensor.shape for tensor in self.tensors if tensor.name == name))

        def get_tensor_dtype(self, _name: str) -> DataType:
            return DataType.FLOAT

        def get_tensor_mode(self, name: str) -> TensorIOMode:
            return TensorIOMode.INPUT if name == self.tensors[0].name else TensorIOMode.OUTPUT

        def create_engine_inspector(self) -> Any:
            return SimpleNamespace(
                get_engine_information=lambda _form: json.dumps({"Layers": faults.get("layers", [])})
            )

        def create_execution_context(self) -> Any:
            return IExecutionContext(self)

    class IExecutionContext:
        def __init__(self, engine: ICudaEngine) -> None:
            self.engine = engine
            self.addresses: dict[str, int] = {}
            self.profiler: Any = None

        def set_tensor_address(self, name: str, address: int) -> bool:
            self.addresses[name] = address
            return True

        def execute_async_v3(self, stream: int) -> bool:
            assert stream == 77
            device.queue(self._compute)
            if self.profiler is not None:
                for name, milliseconds in faults.get("profile", (("conv + relu", 1.5), ("head", 0.5))):
                    self.profiler.report_layer_time(name, milliseconds)
            return "execute" not in device.fail

        def _compute(self) -> None:
            name = self.engine.get_tensor_name(0)
            image = self._at(name).copy()
            names = [tensor.name for tensor in self.engine.tensors[1:]]
            for output, values in zip(names, self.engine.session.run(names, {name: image}), strict=True):
                self._at(output)[...] = values + faults.get("output_offset", 0)

        def _at(self, name: str) -> np.ndarray:
            shape = self.engine.get_tensor_shape(name)
            memory = (ctypes.c_float * int(np.prod(shape))).from_address(self.addresses[name])
            return np.frombuffer(memory, np.float32).reshape(shape)

    class IProgressMonitor:
        pass

    class IProfiler:
        pass

    module = SimpleNamespace(
        __version__=faults.get("version", "10.3.0"),
        Builder=Builder,
        OnnxParser=OnnxParser,
        Runtime=Runtime,
        ICudaEngine=ICudaEngine,
        IExecutionContext=IExecutionContext,
        IProgressMonitor=IProgressMonitor,
        IProfiler=IProfiler,
        Logger=FakeLogger,
        ILogger=FakeLogger,
        DataType=DataType,
        LayerType=LayerType,
        LayerInformationFormat=SimpleNamespace(JSON=1),
        TensorIOMode=TensorIOMode,
        MemoryPoolType=SimpleNamespace(WORKSPACE=0),
        NetworkDefinitionCreationFlag=SimpleNamespace(EXPLICIT_BATCH=0, STRONGLY_TYPED=1),
        BuilderFlag=SimpleNamespace(FP16="FP16", TF32="TF32"),
        builds=0,
    )
    return module


def library_of(module: Any, flavour: Flavour = "tensorrt") -> TensorRTLibrary:
    return describe_library(module, flavour)
