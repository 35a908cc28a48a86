"""The physical floor of the model part: layer by layer the larger of its arithmetic and its memory traffic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lungsev.bundle.archive import Bundle
from lungsev.bundle.manifest import Precision
from lungsev.bundle.onnx_facts import read_onnx
from lungsev.errors import BackendError, MissingExtraError
from lungsev.inference.backend import Backend
from lungsev.inference.bfloat16.choice import measured_bfloat16, why_no_bfloat16
from lungsev.inference.bfloat16.passes import OpenVinoPasses
from lungsev.runtime.benchmark.layers import Layer, layers_of
from lungsev.runtime.benchmark.peaks import Peak, fastest_ms, peak_of_gpu


@dataclass(frozen=True)
class LayerFloor:
    """The least time of one layer.

    Attributes:
        name, kind, gflop, megabytes: As `Layer` has them.
        floor_ms: The larger of arithmetic at the device's peak and traffic at its bandwidth.
        bound: `arithmetic` or `memory`, whichever is larger.
    """

    name: str
    kind: str
    gflop: float
    megabytes: float
    floor_ms: float
    bound: str


@dataclass(frozen=True)
class Floor:
    """What physics allows the model part.

    Attributes:
        note: Why there is none; empty where there is one.
        gflop: Operations of one image (10^9).
        megabytes: Weights and activations that the layers read and write for one image (10^6 bytes).
        peak: Of the device.
        arithmetic_ms: All arithmetic at the peak, with memory for nothing.
        traffic_ms: All traffic at the peak, with arithmetic for nothing.
        floor_ms: Sum over the layers of the larger of both.
        ratio: The fastest run over the floor: the peak, too, is the best of its runs.
        layers: Each with its floor, in the graph's order.
    """

    note: str
    gflop: float | None = None
    megabytes: float | None = None
    peak: Peak | None = None
    arithmetic_ms: float | None = None
    traffic_ms: float | None = None
    floor_ms: float | None = None
    ratio: float | None = None
    layers: tuple[LayerFloor, ...] = ()


@dataclass(frozen=True)
class Bfloat16:
    """What bfloat16 with its second pass takes on this processor.

    Attributes:
        mean_ms: Fastest first pass, and the fastest second pass for the share of images that takes it; None where it
            was not measured.
        again: That share, 0-1.
        times_as_fast: As ONNX Runtime in FP32.
        note: Why it was not measured; empty where it was.
    """

    mean_ms: float | None
    again: float | None
    times_as_fast: float | None
    note: str


def find_floor(bundle: Bundle, backend: Backend, cpu_peak: Peak | None, infer_ms: float) -> Floor:
    """Return the floor of a bundle on a backend.

    Args:
        bundle: Has the graph.
        backend: Says the device and the precision.
        cpu_peak: From `measure_cpu_peak`; unused on a GPU.
        infer_ms: The fastest run of the model.
    """
    precision: Precision = "fp16" if backend.precision == "fp16" and "fp16" in bundle.precisions else "fp32"
    layers = layers_of(read_onnx(bundle.graph_bytes(precision)))
    if not layers:
        return Floor("the bundle's graph does not state the shapes of its results; export it again")
    gflop, megabytes = sum(layer.gflop for layer in layers), sum(layer.megabytes for layer in layers)
    peak = cpu_peak if backend.device == "cpu" else peak_of_gpu(backend.device)
    if backend.precision == "bf16":
        return Floor("the peak of bfloat16 is not measured", round(gflop, 3), round(megabytes, 1))
    if peak is None:
        return Floor(f"the peak of {backend.device} is not known here", round(gflop, 3), round(megabytes, 1))
    floors = [_floor_of(layer, peak) for layer in layers]
    floor_ms = sum(layer.floor_ms for layer in floors)
    return Floor(
        note="",
        gflop=round(gflop, 3),
        megabytes=round(megabytes, 1),
        peak=peak,
        arithmetic_ms=round(sum(arithmetic_ms(layer, peak) for layer in layers), 4),
        traffic_ms=round(megabytes / peak.gb_per_s, 4),
        floor_ms=round(floor_ms, 4),
        ratio=round(infer_ms / floor_ms, 2),
        layers=tuple(floors),
    )


def arithmetic_ms(layer: Layer, peak: Peak) -> float:
    """Return the milliseconds of a layer's operations at the peak of its precision."""
    return layer.gflop / (peak.half_gflops if layer.half else peak.gflops) * 1000


def measure_bfloat16(bundle: Bundle, fp32_ms: float, runs: int = 12) -> Bfloat16:
    """Return what bfloat16 takes beside `fp32_ms` of ONNX Runtime, or why it was not measured."""
    missing = why_no_bfloat16(bundle)
    measured = measured_bfloat16(bundle)
    if missing or measured is None:
        return Bfloat16(None, None, None, missing)
    size = bundle.manifest.input.size_px
    image = np.linspace(0, 1, size * size, dtype=np.float32).reshape(1, 1, size, size)
    try:
        passes = OpenVinoPasses(bundle.graph_bytes(), measured.entry_depth)
        _, handed = passes.first(image)
        first, again = fastest_ms(lambda: passes.first(image), runs), fastest_ms(lambda: passes.again(handed), runs)
    except (BackendError, MissingExtraError) as error:
        return Bfloat16(None, None, None, str(error))
    mean = first + measured.again * again
    return Bfloat16(round(mean, 3), measured.again, round(fp32_ms / mean, 2), "")


def _floor_of(layer: Layer, peak: Peak) -> LayerFloor:
    arithmetic, traffic = arithmetic_ms(layer, peak), layer.megabytes / peak.gb_per_s
    return LayerFloor(
        layer.name,
        layer.kind,
        round(layer.gflop, 6),
        round(layer.megabytes, 3),
        round(max(arithmetic, traffic), 5),
        "arithmetic" if arithmetic > traffic else "memory",
    )
