"""Peaks of devices: arithmetic and memory bandwidth, from data sheets for known GPUs and measured on a processor."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from lungsev.inference.cpus import usable_cpus

_COPY_MB = (4, 8, 16, 256)  # of a processor's caches, and beyond them
_COPY_RUNS = 6
_LEAST_COPIED_MB = 64  # by one timed run, which would be too short otherwise


@dataclass(frozen=True)
class Peak:
    """What a device can do at most.

    Attributes:
        gflops: float32, 10^9 operations a second.
        half_gflops: Half precision without sparsity, sums in float32.
        gb_per_s: Memory bandwidth, 10^9 bytes a second.
        source: Where the figures come from.
    """

    gflops: float
    half_gflops: float
    gb_per_s: float
    source: str


# Pattern of the device's name, teraflops in half precision (dense) and in float32, bandwidth in GB/s, source; the first
# that fits. Jetsons in their fastest power mode. Of a GeForce half precision with sums in float32, as TensorRT has it.
_SHEETS = (
    (r"Orin Nano", 16.7, 2.1, 102, "NVIDIA Jetson Orin Nano Super data sheet (67 TOPS sparse INT8, 1,020 MHz)"),
    (r"Orin NX", 19.2, 2.4, 102.4, "NVIDIA Jetson Orin NX 16GB data sheet, Super mode (1,173 MHz)"),
    (r"AGX Orin", 42.5, 5.3, 204.8, "NVIDIA Jetson AGX Orin data sheet (170 TOPS sparse INT8 of the GPU, 1,300 MHz)"),
    (r"\bT4\b", 65, 8.1, 320, "NVIDIA T4 data sheet"),
    (r"\bA10\b", 125, 31.2, 600, "NVIDIA A10 data sheet"),
    (r"\bA100\b.*40GB", 312, 19.5, 1555, "NVIDIA A100 data sheet"),
    (r"\bA100\b", 312, 19.5, 2039, "NVIDIA A100 80GB data sheet"),
    (r"\bL4\b", 121, 30.3, 300, "NVIDIA L4 data sheet"),
    (r"\bL40S\b", 362, 91.6, 864, "NVIDIA L40S data sheet"),
    (r"\bRTX 3090(?! Ti)", 71, 35.6, 936, "NVIDIA Ampere GA102 white paper"),
    (r"\bRTX 4090(?! D)", 165, 82.6, 1008, "NVIDIA Ada white paper"),
    (r"\bRTX 5090(?! D)", 209.5, 104.8, 1792, "NVIDIA RTX Blackwell white paper"),
    (r"\bH100\b.*PCIe", 756, 51, 2000, "NVIDIA H100 data sheet"),
    (r"\bH100\b(?!.*NVL)", 989, 67, 3350, "NVIDIA H100 data sheet"),
    (r"\bH200\b(?!.*NVL)", 989, 67, 4800, "NVIDIA H200 data sheet"),
)
_SLOWER_VARIANT = re.compile(r"Laptop|Max-Q|Mobile|\bMIG\b", re.IGNORECASE)


def peak_of_gpu(name: str) -> Peak | None:
    """Return the data sheet's peak of a GPU or Jetson by its name; None where it is not in the table."""
    if _SLOWER_VARIANT.search(name):
        return None
    for pattern, half_tflops, tflops, gb_per_s, source in _SHEETS:
        if re.search(pattern, name):
            return Peak(tflops * 1000, half_tflops * 1000, float(gb_per_s), source)
    return None


def measure_cpu_peak(threads: int | None = None) -> Peak:
    """Measure the peak of this processor: a float32 matrix product, and the fastest copy of 4 to 256 MB.

    What fits in its caches is copied there, as activations are: the floor must not count slower than that.
    """
    gflops = matrix_peak_gflops(threads)
    return Peak(gflops, gflops, copy_peak(threads), "float32 matrix product and memory copies, measured in this run")


def faster_of(peak: Peak, other: Peak) -> Peak:
    """Return the better of two measurements of one device: a busy machine rarely slows both."""
    gflops = max(peak.gflops, other.gflops)
    return Peak(gflops, gflops, max(peak.gb_per_s, other.gb_per_s), peak.source)


def matrix_peak_gflops(threads: int | None = None, side: int = 1536, repeats: int = 5) -> float:
    """Return the best rate of a float32 matrix product here, in 10^9 operations a second."""
    multiply, gflop = matrix_product(threads, side)
    return round(gflop / fastest_ms(multiply, repeats + 1) * 1000, 1)


def matrix_product(threads: int | None = None, side: int = 1536) -> tuple[Callable[[], object], float]:
    """Return a call that multiplies two square float32 matrices, and its operations (10^9).

    ONNX Runtime does it, so that threads and instructions are those the model may use.
    """
    from lungsev.inference.onnxruntime import open_session

    session = open_session(_matrix_product_graph(side), threads or usable_cpus())
    feed = {"a": np.random.default_rng(0).random((side, side), dtype=np.float32)}
    return lambda: session.run(None, feed), 2 * side**3 / 1e9


def copy_peak(threads: int | None = None, sizes_mb: tuple[float, ...] = _COPY_MB) -> float:
    """Return the best rate of a copy by all threads, in 10^9 bytes read and written a second.

    Args:
        threads: None is all cores.
        sizes_mb: Bytes (10^6) that one copy reads and writes, over all threads.
    """
    threads = threads or usable_cpus()
    with ThreadPoolExecutor(threads) as pool:
        return round(max(_copy_rate(pool, threads, size) for size in sizes_mb), 1)


def fastest_ms(call: Callable[[], object], runs: int) -> float:
    """Return the milliseconds of the fastest of several runs."""
    best = float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best * 1000


def _copy_rate(pool: ThreadPoolExecutor, threads: int, megabytes: float) -> float:
    count = max(1, int(megabytes * 1e6 / 2 / 4 / threads))
    pairs = [(np.ones(count, np.float32), np.zeros(count, np.float32)) for _ in range(threads)]
    repeats = max(2, int(_LEAST_COPIED_MB / megabytes))

    def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
        for _ in range(repeats):
            np.copyto(pair[1], pair[0])  # without the interpreter's lock

    best = fastest_ms(lambda: list(pool.map(copy, pairs)), _COPY_RUNS)
    return 2 * 4 * count * threads * repeats / best / 1e6


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
