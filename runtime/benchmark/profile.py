"""Time of every layer that ran: by ONNX Runtime's profiler on a processor, by TensorRT's in the device process."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungsev.bundle.archive import Bundle
from lungsev.bundle.flop import Shape, node_flop
from lungsev.errors import BackendError
from lungsev.inference.backend import Backend, LayerTimer
from lungsev.inference.onnxruntime import open_session
from lungsev.runtime.benchmark.floor import Floor
from lungsev.runtime.benchmark.peaks import Peak

PROFILED_RUNS = 10
_UNCOUNTED_RUNS = 2
_TENSORRT = "TensorRT's profiler, without the CUDA graph"
_SUFFIX = "_kernel_time"
_PRODUCTS = ("MatMul", "Gemm", "FusedMatMul", "FusedGemm")
_VIEWS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")
_BYTES = {"float": 4, "float16": 2, "double": 8, "int64": 8, "int32": 4, "int8": 1, "uint8": 1, "bool": 1}


@dataclass(frozen=True)
class ProfiledLayer:
    """One layer as the library ran it; names and fusions are the library's.

    Attributes:
        name: The library's.
        kind: Operator; empty where the library does not say.
        shapes: Inputs and output, e.g. `1x96x96x96, 96x1x3x3 -> 1x96x48x48`; empty where the library does not say.
        ms: Median over the profiled runs.
        share: Of the sum of all layers, 0-1.
        gflop, megabytes: Its operations, and what it reads and writes; None where the library does not say.
        floor_ms: The larger of both at the device's peak; None where either is not known.
    """

    name: str
    kind: str
    shapes: str
    ms: float
    share: float
    gflop: float | None
    megabytes: float | None
    floor_ms: float | None


@dataclass(frozen=True)
class Profile:
    """The layers of the network, slowest first.

    Attributes:
        source: Who measured.
        note: Why there is none; empty where there is one.
        runs: Profiled runs.
        total_ms: Sum of all layers; the profiler itself costs a little.
    """

    source: str
    note: str
    runs: int = 0
    total_ms: float = 0.0
    layers: tuple[ProfiledLayer, ...] = ()


@dataclass(frozen=True)
class _Ran:
    """What the profiler says of one layer, over all runs."""

    name: str
    kind: str
    shapes: str
    ms: list[float]
    gflop: float | None = None
    megabytes: float | None = None
    floor_ms: float | None = None


def profile_layers(
    bundle: Bundle, backend: Backend, floor: Floor, threads: int | None = None, runs: int = PROFILED_RUNS
) -> Profile:
    """Profile the network that scored.

    Args:
        bundle: Has the graph.
        backend: That ran the last image.
        floor: Has the device's peak, and the floor of every layer of the graph.
        threads: CPU threads of the network.
        runs: Profiled runs.
    """
    size = bundle.manifest.input.size_px
    image = np.random.default_rng(0).random((1, 1, size, size), dtype=np.float32)
    if isinstance(backend, LayerTimer):
        try:
            ran = _ran_on_gpu(backend, image, floor, runs)
        except BackendError as error:
            return Profile(_TENSORRT, str(error))
        return _summary(_TENSORRT, runs, ran)
    if backend.name == "onnxruntime":
        ran = _ran_on_cpu(bundle.graph_bytes("fp32"), bundle.manifest.input.name, image, floor.peak, threads, runs)
        return _summary("ONNX Runtime's profiler", runs, ran)
    return Profile(backend.name, f"{backend.name} is not profiled here; onnxruntime and tensorrt are")


def _summary(source: str, runs: int, ran: Sequence[_Ran]) -> Profile:
    medians = [float(np.median(layer.ms)) for layer in ran]
    total = sum(medians)
    layers = [
        ProfiledLayer(
            layer.name,
            layer.kind,
            layer.shapes,
            round(ms, 4),
            round(ms / total, 4) if total else 0.0,
            None if layer.gflop is None else round(layer.gflop, 6),
            None if layer.megabytes is None else round(layer.megabytes, 3),
            None if layer.floor_ms is None else round(layer.floor_ms, 5),
        )
        for layer, ms in zip(ran, medians, strict=True)
    ]
    return Profile(source, "", runs, round(total, 3), tuple(sorted(layers, key=lambda layer: -layer.ms)))


def _ran_on_gpu(backend: LayerTimer, image: np.ndarray, floor: Floor, runs: int) -> list[_Ran]:
    times: defaultdict[str, list[float]] = defaultdict(list)
    for name, milliseconds in backend.layer_times(image, runs):
        times[name].append(milliseconds)
    floors = {layer.name: layer.floor_ms for layer in floor.layers}
    return [_Ran(name, "", "", ms, floor_ms=_floor_by_name(name, floors)) for name, ms in times.items()]


def _floor_by_name(name: str, floors: dict[str, float]) -> float | None:
    """The floors of the graph's layers that a fused layer's name lists, e.g. `node_conv2d + node_relu`."""
    words = set(re.split(r"[\s+|{}\[\](),:]+", name))
    found = [floors[word] for word in words if word in floors]
    return sum(found) if found else None


def _ran_on_cpu(
    graph: bytes, input_name: str, image: np.ndarray, peak: Peak | None, threads: int | None, runs: int
) -> list[_Ran]:
    with tempfile.TemporaryDirectory(prefix="lungsev-profile-") as folder:
        session = open_session(graph, threads, profile_to=Path(folder) / "onnxruntime")
        for _ in range(_UNCOUNTED_RUNS + runs):
            session.run(None, {input_name: image})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_SUFFIX):
            found[event["name"], event["args"].get("node_index", "")].append(event)
    return [_layer_of(name.removesuffix(_SUFFIX), layer[_UNCOUNTED_RUNS:], peak) for (name, _), layer in found.items()]


def _layer_of(name: str, events: list[dict[str, Any]], peak: Peak | None) -> _Ran:
    about = events[-1]["args"]
    kind = about.get("op_name", "")
    inputs, outputs = list(_tensors(about, "input_type_shape")), list(_tensors(about, "output_type_shape"))
    shapes = ", ".join(_text(shape) for _, shape in inputs) + " -> " + ", ".join(_text(shape) for _, shape in outputs)
    flop, size = 0, 0
    if outputs and inputs and kind not in _VIEWS:
        flop, size = _work_of(kind, inputs, outputs)
    floor = max(flop / peak.gflops / 1e6, size / peak.gb_per_s / 1e6) if peak is not None else None
    return _Ran(name, kind, shapes, [event["dur"] / 1000 for event in events], flop / 1e9, size / 1e6, floor)


def _work_of(kind: str, inputs: list[tuple[int, Shape]], outputs: list[tuple[int, Shape]]) -> tuple[int, int]:
    """Operations and bytes of a node that ran."""
    first, result = inputs[0][1], outputs[0][1]
    size = sum(width * math.prod(shape) for width, shape in (*inputs, *outputs))
    if kind in _PRODUCTS:
        if len(first) < 2 or len(result) < 2:
            return 0, size
        transposed = first[-2] != result[-2]
        if len(inputs) == 1:  # the weights were packed when the graph was opened, and are not listed
            size += inputs[0][0] * first[-2 if transposed else -1] * result[-1]
        return node_flop(kind, [first], result, transposed), size
    return node_flop(kind, [shape for _, shape in inputs], result), size


def _tensors(about: dict[str, Any], key: str) -> Iterator[tuple[int, Shape]]:
    """Bytes of an element, and the shape of every tensor."""
    for entry in about.get(key, ()):
        for kind, shape in entry.items():
            yield _BYTES.get(kind, 4), tuple(int(side) for side in shape)


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"
