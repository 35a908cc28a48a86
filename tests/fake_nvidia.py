"""Stand-ins for what a machine without a GPU lacks: `cuda.bindings.driver`, `pycuda.driver`, `libcuda`, `tensorrt`.

Device memory is host memory at real addresses, a captured graph replays what was queued, and an engine computes its
graph with ONNX Runtime at the addresses it was given: buffers, order, capture and closing are really exercised.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime

from lungsev.inference.tensorrt.cuda import CudaBindingsDriver, CudaDriver, PycudaDriver
from lungsev.inference.tensorrt.library import TensorRTLibrary, describe_library


class FakeDevice:
    """The GPU both bindings talk to. `fail` maps a call's name to the error code it returns."""

    def __init__(self, integrated: bool = False, driver: int = 12040, name: str = "Fake GPU") -> None:
        self.name, self.integrated, self.driver = name, integrated, driver
        self.fail: dict[str, int] = {}
        self.memory: dict[int, Any] = {}
        self.calls: list[str] = []
        self.contexts = 0
        self.streams = 0
        self.graphs = 0
        self.recording: list[Callable[[], None]] | None = None

    def take(self, size: int) -> int:
        buffer = ctypes.create_string_buffer(size)
        address = ctypes.addressof(buffer)
        self.memory[address] = buffer
        return address

    def queue(self, work: Callable[[], None]) -> None:
        assert self.contexts > 0, "used without a context"
        if self.recording is not None:
            self.recording.append(work)
        else:
            work()

    @property
    def is_clean(self) -> bool:
        return not self.memory and not self.contexts and not self.streams and not self.graphs


class FakeCudaBindings:
    """`cuda.bindings.driver`: every function returns (error, results...)."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device

    CUdevice_attribute = staticmethod(int)
    CUstreamCaptureMode = staticmethod(int)

    def __getattr__(self, name: str) -> Callable[..., tuple[Any, ...]]:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> tuple[Any, ...]:
            self.device.calls.append(name)
            if name in self.device.fail:
                return (self.device.fail[name],)
            result = getattr(self, f"_{name}")(*arguments)
            return (0,) if result is None else (0, *result) if isinstance(result, tuple) else (0, result)

        return call

    def _cuInit(self, _flags: int) -> None: ...

    def _cuDeviceGet(self, number: int) -> int:
        return number

    def _cuDevicePrimaryCtxRetain(self, _device: int) -> str:
        self.device.contexts += 1
        return "context"

    def _cuDevicePrimaryCtxRelease(self, _device: int) -> None:
        self.device.contexts -= 1

    def _cuCtxSetCurrent(self, _context: str) -> None: ...

    def _cuStreamCreate(self, _flags: int) -> int:
        self.device.streams += 1
        return 77

    def _cuStreamDestroy(self, _stream: int) -> None:
        self.device.streams -= 1

    def _cuStreamSynchronize(self, _stream: int) -> None: ...

    def _cuDeviceGetAttribute(self, attribute: int, _device: int) -> int:
        return {75: 8, 76: 9, 18: int(self.device.integrated)}[attribute]

    def _cuDeviceGetName(self, _length: int, _device: int) -> bytes:
        return self.device.name.encode() + b"\0junk"

    def _cuMemGetInfo(self) -> tuple[int, int]:
        return 2 << 30, 8 << 30

    def _cuDriverGetVersion(self) -> int:
        return self.device.driver

    def _cuMemAlloc(self, size: int) -> int:
        return self.device.take(size)

    def _cuMemHostAlloc(self, size: int, _flags: int) -> int:
        return self.device.take(size)

    def _cuMemHostGetDevicePointer(self, host: int, _flags: int) -> int:
        return host

    def _cuMemFree(self, pointer: int) -> None:
        del self.device.memory[pointer]

    _cuMemFreeHost = _cuMemFree

    def _cuMemcpyHtoDAsync(self, target: int, source: int, size: int, _stream: int) -> None:
        self.device.queue(lambda: ctypes.memmove(target, source, size) and None)

    _cuMemcpyDtoHAsync = _cuMemcpyHtoDAsync

    def _cuStreamBeginCapture(self, _stream: int, _mode: int) -> None:
        self.device.recording = []

    def _cuStreamEndCapture(self, _stream: int) -> list[Callable[[], None]]:
        recorded, self.device.recording = self.device.recording, None
        assert recorded is not None
        return recorded

    def _cuGraphInstantiate(self, graph: list[Callable[[], None]], _flags: int) -> list[Callable[[], None]]:
        self.device.graphs += 1
        return graph

    def _cuGraphDestroy(self, _graph: Any) -> None: ...

    def _cuGraphLaunch(self, graph: list[Callable[[], None]], _stream: int) -> None:
        for work in graph:
            work()

    def _cuGraphExecDestroy(self, _graph: Any) -> None:
        self.device.graphs -= 1


class FakePycuda:
    """`pycuda.driver`."""

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    device_attribute = SimpleNamespace(INTEGRATED="integrated")
    host_alloc_flags = SimpleNamespace(DEVICEMAP=2)

    def __init__(self, device: FakeDevice) -> None:
        self.device = device

    def init(self) -> None:
        if "cuInit" in self.device.fail:
            raise self.Error("no CUDA-capable device is detected")

    def Device(self, _number: int) -> Any:
        device = self.device

        class Context:
            def push(self) -> None:
                device.contexts += 1

            def pop(self) -> None:
                device.contexts -= 1

            def detach(self) -> None:
                device.memory.clear()

        return SimpleNamespace(
            retain_primary_context=Context,
            compute_capability=lambda: (8, 9),
            name=lambda: device.name,
            get_attribute=lambda _attribute: int(device.integrated),
        )

    def Stream(self) -> Any:
        return SimpleNamespace(handle=77, synchronize=lambda: None)

    def get_driver_version(self) -> int:
        return self.device.driver

    def mem_get_info(self) -> tuple[int, int]:
        return 2 << 30, 8 << 30

    def mem_alloc(self, size: int) -> int:
        if "mem_alloc" in self.device.fail:
            raise self.MemoryError("cuMemAlloc failed: out of memory")
        return self.device.take(size)

    def pagelocked_empty(self, shape: tuple[int, ...], dtype: Any, mem_flags: int = 0) -> np.ndarray:
        base = np.empty(shape, dtype).view(_PinnedBase)
        return base[...].view(np.ndarray)

    def memcpy_htod_async(self, target: int, source: np.ndarray, _stream: Any) -> None:
        self.device.queue(lambda: ctypes.memmove(target, source.ctypes.data, source.nbytes) and None)

    def memcpy_dtoh_async(self, target: np.ndarray, source: int, _stream: Any) -> None:
        self.device.queue(lambda: ctypes.memmove(target.ctypes.data, source, target.nbytes) and None)


class _PinnedBase(np.ndarray):
    def get_device_pointer(self) -> int:
        return int(self.ctypes.data)


class FakeLibcuda:
    """The graph calls of `libcuda.so.1` as ctypes sees them."""

    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self._graphs: dict[int, list[Callable[[], None]]] = {}

    def cuStreamBeginCapture_v2(self, _stream: Any, _mode: Any) -> int:
        self.device.recording = []
        return self.device.fail.get("cuStreamBeginCapture", 0)

    def cuStreamEndCapture(self, _stream: Any, graph: Any) -> int:
        graph._obj.value = len(self._graphs) + 1
        self._graphs[graph._obj.value] = self.device.recording or []
        self.device.recording = None
        return 0

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: Any, _flags: Any) -> int:
        executable._obj.value = graph.value
        self.device.graphs += 1
        return 0

    def cuGraphDestroy(self, _graph: Any) -> int:
        return 0

    def cuGraphLaunch(self, graph: Any, _stream: Any) -> int:
        for work in self._graphs[graph.value]:
            work()
        return 0

    def cuGraphExecDestroy(self, _graph: Any) -> int:
        self.device.graphs -= 1
        return 0


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

    Faults: `version` text; `build_error` logged before a None; `parse_error`; `refuse_plans`; `heavy` bytes added
    to a plan; `fp32_layers` makes every layer FP32; `output_offset` added to every output (a wrong engine).
    """

    class Builder:
        def __init__(self, log: Any) -> None:
            self.log = log

        def create_network(self, flags: int) -> Any:
            return SimpleNamespace(flags=flags, num_layers=0)

        def create_builder_config(self) -> Any:
            module.flags = {"TF32"}  # as TensorRT's own
            return SimpleNamespace(
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
            return PLAN_MARK + network.graph + b"\0" * faults.get("heavy", 0)

    class OnnxParser:
        num_errors = 1

        def __init__(self, network: Any, _log: Any) -> None:
            self.network = network

        def parse(self, graph: bytes) -> bool:
            layers = [
                SimpleNamespace(
                    type=LayerType.CONVOLUTION,
                    get_output_type=lambda _index: DataType.FLOAT if faults.get("fp32_layers") else DataType.HALF,
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
            pass

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

        def create_execution_context(self) -> Any:
            return IExecutionContext(self)

    class IExecutionContext:
        def __init__(self, engine: ICudaEngine) -> None:
            self.engine = engine
            self.addresses: dict[str, int] = {}

        def set_tensor_address(self, name: str, address: int) -> None:
            self.addresses[name] = address

        def execute_async_v3(self, stream: int) -> bool:
            assert stream == 77
            device.queue(self._compute)
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

    module = SimpleNamespace(
        __version__=faults.get("version", "10.3.0"),
        Builder=Builder,
        OnnxParser=OnnxParser,
        Runtime=Runtime,
        ICudaEngine=ICudaEngine,
        IExecutionContext=IExecutionContext,
        IProgressMonitor=IProgressMonitor,
        Logger=FakeLogger,
        ILogger=FakeLogger,
        DataType=DataType,
        LayerType=LayerType,
        TensorIOMode=TensorIOMode,
        MemoryPoolType=SimpleNamespace(WORKSPACE=0),
        NetworkDefinitionCreationFlag=SimpleNamespace(EXPLICIT_BATCH=0, STRONGLY_TYPED=1),
        BuilderFlag=SimpleNamespace(FP16="FP16", TF32="TF32"),
        builds=0,
    )
    return module


def bindings(device: FakeDevice) -> Callable[[], CudaDriver]:
    return lambda: CudaBindingsDriver(FakeCudaBindings(device))


def pycuda(device: FakeDevice) -> Callable[[], CudaDriver]:
    return lambda: PycudaDriver(FakePycuda(device), FakeLibcuda(device))


def library_of(module: Any) -> TensorRTLibrary:
    return describe_library(module, "tensorrt")
