"""The physical floor of the model part: its arithmetic at the machine's measured or stated peak."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError, MissingExtraError
from lungsev.inference.backend import Backend
from lungsev.inference.cpus import usable_cpus
from lungsev.inference.openvino import OpenVinoBackend, has_bfloat16

# Dense peak in half precision (10^12 operations a second) and memory bandwidth (10^9 bytes a second), data sheets.
KNOWN_DEVICES: dict[str, tuple[float, float]] = {
    "Orin Nano": (17.0, 102.0),
    "AGX Orin": (42.5, 204.8),
    "RTX 4090": (165.0, 1008.0),
    "H100": (989.0, 3350.0),
    "H200": (989.0, 4800.0),
}


@dataclass(frozen=True)
class Floor:
    """What physics allows the model part.

    Attributes:
        gflop: Operations of one image; None where the bundle does not say.
        peak_gflops: Measured with a matrix product in this run, or from the device's data sheet.
        floor_ms: The larger of arithmetic and weight traffic.
        ratio: The fastest run over the floor: the peak, too, is the best of its runs.
    """

    gflop: float | None
    peak_gflops: float | None
    peak_source: str
    floor_ms: float | None
    ratio: float | None


@dataclass(frozen=True)
class Bfloat16:
    """What OpenVINO's bfloat16 would give on this processor; it changes grades, so it must be asked for.

    Attributes:
        fastest_ms: None where it was not measured.
        times_as_fast: As ONNX Runtime in FP32, fastest run over fastest run.
        note: Why it was not measured; empty where it was.
    """

    fastest_ms: float | None
    times_as_fast: float | None
    note: str


def find_floor(bundle: Bundle, backend: Backend, cpu_peak_gflops: float, infer_ms: float) -> Floor:
    """Return the floor of a bundle on a backend.

    Args:
        bundle: Says how many operations an image takes.
        backend: Says the device.
        cpu_peak_gflops: From `matrix_peak_gflops`; unused on a GPU.
        infer_ms: The fastest run of the model.
    """
    gflop = bundle.manifest.graphs["fp32"].gflop
    if gflop is None:
        return Floor(None, None, "the bundle does not state its operations", None, None)
    traffic_ms = 0.0
    if backend.device == "cpu":
        peak, source = cpu_peak_gflops, "float32 matrix product measured in this run"
    else:
        known = next((value for name, value in KNOWN_DEVICES.items() if name in backend.device), None)
        if known is None:
            return Floor(gflop, None, f"the peak of {backend.device} is not known here", None, None)
        peak, source = known[0] * 1000, "data sheet, dense half precision"
        precision = "fp16" if "fp16" in bundle.precisions else "fp32"
        traffic_ms = len(bundle.graph_bytes(precision)) / known[1] / 1e6  # type: ignore[arg-type]
    floor_ms = max(gflop / peak * 1000, traffic_ms)
    return Floor(gflop, peak, source, round(floor_ms, 3), round(infer_ms / floor_ms, 2))


def measure_bfloat16(bundle: Bundle, fp32_ms: float, runs: int = 12) -> Bfloat16:
    """Return what OpenVINO's bfloat16 takes beside `fp32_ms` of ONNX Runtime, or why it was not measured."""
    if not has_bfloat16():
        return Bfloat16(None, None, "this processor does not multiply bfloat16 matrices")
    size = bundle.manifest.input.size_px
    image = np.linspace(0, 1, size * size, dtype=np.float32).reshape(1, 1, size, size)
    try:
        with OpenVinoBackend(bundle, bfloat16=True) as backend:
            fastest = _fastest_ms(lambda: backend.infer(image), runs)
    except (BackendError, MissingExtraError) as error:
        return Bfloat16(None, None, str(error))
    return Bfloat16(round(fastest, 3), round(fp32_ms / fastest, 2), "")


def matrix_peak_gflops(threads: int | None = None, side: int = 1536, repeats: int = 5) -> float:
    """Return the best rate of a float32 matrix product here, in 10^9 operations a second."""
    multiply, gflop = matrix_product(threads, side)
    return round(gflop / _fastest_ms(multiply, repeats + 1) * 1000, 1)


def matrix_product(threads: int | None = None, side: int = 1536) -> tuple[Callable[[], object], float]:
    """Return a call that multiplies two square float32 matrices, and its operations (10^9).

    ONNX Runtime does it, so that threads and instructions are those the model may use.
    """
    from lungsev.inference.onnxruntime import open_session

    session = open_session(_matrix_product_graph(side), threads or usable_cpus())
    feed = {"a": np.random.default_rng(0).random((side, side), dtype=np.float32)}
    return lambda: session.run(None, feed), 2 * side**3 / 1e9


def _fastest_ms(call: Callable[[], object], runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best * 1000


def _matrix_product_graph(side: int) -> bytes:
    """`y = a @ a`, [side, side] float32, as ONNX bytes; written by hand, since the onnx package is not there."""

    def field_(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2]) + _varint(len(data)) + data

    def number_(number: int, value: int) -> bytes:
        return bytes([number << 3]) + _varint(value)

    dimension = field_(1, number_(1, side))
    tensor = field_(2, field_(1, number_(1, 1) + field_(2, dimension * 2)))
    node = field_(1, b"a") * 2 + field_(2, b"y") + field_(4, b"MatMul")
    graph = field_(1, node) + field_(2, b"peak") + field_(11, field_(1, b"a") + tensor)
    graph += field_(12, field_(1, b"y") + tensor)
    return number_(1, 9) + field_(7, graph) + field_(8, number_(2, 18))


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
