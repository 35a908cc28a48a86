"""How fast lungsev is here: every stage, the cold start, and the physical floor beside the measurement.

result = run_bench(bundle=None, backend="auto")
result.to_dict()        for machines
result.rows()           for a table
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from lungsev import __version__
from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import BackendError, LungsevError, MissingExtraError
from lungsev.grading import decode
from lungsev.inference.backend import Backend, MovesRadiographs
from lungsev.inference.openvino import OpenVinoBackend, has_bfloat16
from lungsev.inference.select import open_backend
from lungsev.inference.threads import usable_cores
from lungsev.preprocessing.canvas import to_canvas
from lungsev.quality.gate import assess_quality
from lungsev.reading.limits import ReadLimits
from lungsev.reading.read import read_file, read_radiograph_bytes
from lungsev.report import ModelInfo, SeverityReport
from lungsev.system import python_command

# `infer` holds the way to the device and back, which `transfer` times apart where there is one.
STAGES = ("read", "prepare", "transfer", "infer", "decode", "write", "total")
PORTABLE_IMAGE = (2500, 2048)

# Dense peak in half precision (10^12 operations a second) and memory bandwidth (10^9 bytes a second), data sheets.
KNOWN_DEVICES: dict[str, tuple[float, float]] = {
    "Orin Nano": (17.0, 102.0),
    "AGX Orin": (42.5, 204.8),
    "RTX 4090": (165.0, 1008.0),
    "H100": (989.0, 3350.0),
    "H200": (989.0, 4800.0),
}

_COLD_START = """
import time
from pathlib import Path
from lungsev.pipeline import open_scorer
bundle, backend, threads, image = sys.argv[1:]
with open_scorer(Path(bundle) if bundle else None, backend, int(threads) or None) as scorer:
    opened = time.monotonic()
    scorer.score_file(Path(image))
    print(opened, time.monotonic())
"""


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds of one stage over all runs."""

    p50: float
    p95: float
    p99: float
    fastest: float


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
    """What OpenVINO's bfloat16 would give on this processor; it changes grades, so nothing chooses it by itself.

    Attributes:
        fastest_ms: None where it was not measured.
        times_as_fast: As ONNX Runtime in FP32, fastest run over fastest run.
        note: Why it was not measured; empty where it was.
    """

    fastest_ms: float | None
    times_as_fast: float | None
    note: str


@dataclass(frozen=True)
class BenchResult:
    """One run of the bench."""

    lungsev: str
    measured_at: str
    machine: dict[str, Any]
    model: ModelInfo
    radiograph: str
    runs: int
    stages: dict[str, StageTimes]
    images_per_second: float
    cold_start_ms: float | None
    first_score_ms: float | None
    peak_memory_mb: float
    floor: Floor = field(default_factory=lambda: Floor(None, None, "unknown", None, None))
    bfloat16: Bfloat16 | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Stage, p50, p95, p99 in milliseconds, as text."""
        return [
            (name, f"{times.p50:.2f}", f"{times.p95:.2f}", f"{times.p99:.2f}") for name, times in self.stages.items()
        ]

    def remarks(self) -> list[str]:
        """Everything beside the table, a line each."""
        model = self.model
        lines = [
            f"{model.name} {model.version}: {model.backend} {model.precision} on {model.device}",
            f"{self.machine['processor']}, {self.machine['cores']} cores, load {self.machine['load']}"
            + (f", power mode {self.machine['power_mode']}" if self.machine["power_mode"] else ""),
            f"{self.images_per_second:.1f} images per second, at most {self.peak_memory_mb:.0f} MB of memory",
        ]
        if self.cold_start_ms is not None and self.first_score_ms is not None:
            lines.append(f"cold start {self.cold_start_ms:.0f} ms, first score after {self.first_score_ms:.0f} ms")
        floor = self.floor
        if floor.floor_ms is not None and floor.ratio is not None and floor.peak_gflops is not None:
            lines.append(
                f"floor of the model part {floor.floor_ms:.1f} ms ({floor.gflop:g} GFLOP at {floor.peak_gflops:.0f} "
                f"GFLOP/s, {floor.peak_source}); the fastest run takes {floor.ratio:.2f} times that"
            )
        half = self.bfloat16
        if half is not None and half.fastest_ms is not None:
            lines.append(
                f"OpenVINO's bfloat16 takes {half.fastest_ms:.1f} ms, {half.times_as_fast:.1f} times as fast as FP32; "
                "it changes grades and is never chosen by itself"
            )
        elif half is not None:
            lines.append(f"bfloat16 was not measured: {half.note}")
        return lines


def run_bench(
    bundle: Path | None = None,
    backend: str = "auto",
    threads: int | None = None,
    radiograph: Path | None = None,
    runs: int = 30,
    warm_up: int = 3,
    cold_start: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> BenchResult:
    """Score one image again and again, stage by stage, file to JSON file.

    Args:
        radiograph: None writes a phantom of a portable unit's size as 12-bit uncompressed DICOM.
        cold_start: Also start a fresh process and time its first score.
        progress: Called with runs done and runs in all.

    Raises:
        BundleError, BackendError, ImageError: As the pipeline.
    """
    opened = read_bundle(bundle)
    with (
        tempfile.TemporaryDirectory(prefix="lungsev-bench-") as folder,
        open_backend(opened, backend, threads) as open_,
    ):
        path = radiograph if radiograph is not None else write_portable_image(Path(folder) / "image.dcm")
        timer = _StageTimer(opened, open_, Path(folder) / "report.json")
        on_cpu = open_.device == "cpu"
        needs_peak = on_cpu and opened.manifest.graphs["fp32"].gflop is not None
        peak = matrix_peak_gflops(threads) if needs_peak else 0.0
        for index in range(warm_up + runs):
            timer.run(path, keep=index >= warm_up)
            if progress is not None:
                progress(max(0, index + 1 - warm_up), runs)
        if needs_peak:  # before and after: a busy machine rarely slows both
            peak = max(peak, matrix_peak_gflops(threads))
        cold = _cold_start(bundle, backend, threads, path) if cold_start else (None, None)
        return BenchResult(
            lungsev=__version__,
            measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            machine=describe_machine(),
            model=timer.model,
            radiograph="portable phantom 2500 x 2048, 12 bit, uncompressed DICOM"
            if radiograph is None
            else "an image of the user",
            runs=runs,
            stages={name: timer.times(name) for name in STAGES if timer.has(name)},
            images_per_second=round(1000 / timer.times("total").p50, 2),
            cold_start_ms=cold[0],
            first_score_ms=cold[1],
            peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            floor=_floor(opened, open_, peak, timer.times("infer").fastest),
            bfloat16=_bfloat16(opened, timer.times("infer").fastest)
            if open_.name == "onnxruntime" and on_cpu
            else None,
        )


def write_portable_image(path: Path) -> Path:
    """A phantom as a portable unit sends it: 2500 x 2048, 12 bits, uncompressed."""
    from lungsev.phantom import make_phantom, write_phantom_dicom

    write_phantom_dicom(make_phantom(1, size_px=PORTABLE_IMAGE), path, transfer_syntax="explicit", bits=12)
    return path


def matrix_peak_gflops(threads: int | None = None, side: int = 1536, repeats: int = 5) -> float:
    """Best rate of a float32 matrix product, 10^9 operations a second: the machine's own yardstick."""
    multiply, gflop = matrix_product(threads, side)
    return round(gflop / _fastest_ms(multiply, repeats + 1) * 1000, 1)


def matrix_product(threads: int | None = None, side: int = 1536) -> tuple[Callable[[], object], float]:
    """A call that multiplies two square float32 matrices, and its operations (10^9).

    Done by ONNX Runtime, so that threads and instructions are those the model may use.
    """
    from lungsev.inference.onnxruntime import open_session

    session = open_session(_matrix_product_graph(side), threads or usable_cores())
    feed = {"a": np.random.default_rng(0).random((side, side), dtype=np.float32)}
    return lambda: session.run(None, feed), 2 * side**3 / 1e9


def _fastest_ms(call: Callable[[], object], runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best * 1000


def describe_machine() -> dict[str, Any]:
    """Processor, cores, load, power mode and versions: a figure without them means nothing."""
    import onnxruntime

    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": usable_cores(),
        "load": round(os.getloadavg()[0], 1),
        "power_mode": _power_mode(Path("/var/lib/nvpmodel/status")),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


class _StageTimer:
    """Runs the pipeline's stages one by one with a clock between them."""

    def __init__(self, bundle: Bundle, backend: Backend, target: Path) -> None:
        self.model = ModelInfo(
            bundle.manifest.name,
            bundle.manifest.version,
            bundle.sha256,
            backend.name,
            backend.device,
            backend.precision,
        )
        self._bundle, self._backend, self._target = bundle, backend, target
        self._samples: dict[str, list[float]] = {name: [] for name in STAGES}

    def run(self, path: Path, keep: bool) -> None:
        manifest = self._bundle.manifest
        marks = [time.perf_counter()]
        radiograph = read_radiograph_bytes(read_file(path, ReadLimits()))
        marks.append(time.perf_counter())
        canvas = to_canvas(radiograph, manifest.input.size_px)
        marks.append(time.perf_counter())
        image = np.ascontiguousarray(canvas.pixels[None, None])
        outputs = self._backend.infer(image)
        marks.append(time.perf_counter())
        quality = assess_quality(canvas, outputs, radiograph.notes, manifest.quality)
        theta = outputs["theta"][0]
        scores = {
            scheme.name: decode(
                scheme,
                outputs[f"probabilities.{scheme.name}"][0],
                theta,
                canvas.frame,
                manifest.scheme_calibration(scheme.name),
            )
            for scheme in manifest.schemes
        }
        report = SeverityReport("scored", radiograph.image, self.model, scores=scores, quality=quality)
        marks.append(time.perf_counter())
        self._target.write_text(report.to_json(), encoding="utf-8")
        marks.append(time.perf_counter())
        if keep:
            in_a_row = [name for name in STAGES if name not in ("transfer", "total")]
            for name, start, stop in zip(in_a_row, marks[:-1], marks[1:], strict=True):
                self._samples[name].append((stop - start) * 1000)
            self._samples["total"].append((marks[-1] - marks[0]) * 1000)
            if isinstance(self._backend, MovesRadiographs):
                started = time.perf_counter()
                self._backend.transfer(image)
                self._samples["transfer"].append((time.perf_counter() - started) * 1000)

    def has(self, stage: str) -> bool:
        """Whether the stage was measured: a processor has nowhere to send an image."""
        return bool(self._samples[stage])

    def times(self, stage: str) -> StageTimes:
        values = np.asarray(self._samples[stage])
        p50, p95, p99 = (round(float(value), 3) for value in np.percentile(values, [50, 95, 99]))
        return StageTimes(p50, p95, p99, round(float(values.min()), 3))


def _floor(bundle: Bundle, backend: Backend, cpu_peak: float, infer_ms: float) -> Floor:
    gflop = bundle.manifest.graphs["fp32"].gflop
    if gflop is None:
        return Floor(None, None, "the bundle does not state its operations", None, None)
    traffic_ms = 0.0
    if backend.device == "cpu":
        peak, source = cpu_peak, "float32 matrix product measured in this run"
    else:
        known = next((value for name, value in KNOWN_DEVICES.items() if name in backend.device), None)
        if known is None:
            return Floor(gflop, None, f"the peak of {backend.device} is not known here", None, None)
        peak, source = known[0] * 1000, "data sheet, dense half precision"
        precision = "fp16" if "fp16" in bundle.precisions else "fp32"
        traffic_ms = len(bundle.graph_bytes(precision)) / known[1] / 1e6  # type: ignore[arg-type]
    floor_ms = max(gflop / peak * 1000, traffic_ms)
    return Floor(gflop, peak, source, round(floor_ms, 3), round(infer_ms / floor_ms, 2))


def _bfloat16(bundle: Bundle, fp32_ms: float, runs: int = 12) -> Bfloat16:
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


def _cold_start(bundle: Path | None, backend: str, threads: int | None, radiograph: Path) -> tuple[float, float]:
    """Milliseconds from starting a process to an open scorer, and to its first score."""
    words = [str(bundle) if bundle else "", backend, str(threads or 0), str(radiograph)]
    started = time.monotonic()
    found = subprocess.run(
        python_command(_COLD_START, *words), capture_output=True, text=True, check=False, timeout=600
    )
    if found.returncode != 0:
        reason = found.stderr.strip().splitlines()[-1] if found.stderr.strip() else "no reason given"
        raise LungsevError(f"the cold start failed: {reason}; try --no-cold-start")
    opened, scored = (float(word) for word in found.stdout.split()[-2:])
    return round((opened - started) * 1000, 1), round((scored - started) * 1000, 1)


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _power_mode(status: Path) -> str | None:
    """Jetson's power mode, as `pmode:0002` in nvpmodel's state file."""
    try:
        return status.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None


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
