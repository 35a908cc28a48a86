"""Speed of lungsev on this machine: every stage of an image as `score` and `watch` run it, and the cold start.

result = run_bench(bundle=None, backend="auto")
result.to_dict()        for machines
result.rows()           for a table
"""

from __future__ import annotations

import json
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
from lungsev.errors import LungsevError
from lungsev.inference.backend import DeviceMemoryBackend
from lungsev.inference.select import DeviceOptions
from lungsev.inference.status import in_use
from lungsev.inference.tensorrt.settings import AUTOMATIC, EngineSettings
from lungsev.model import Model, load
from lungsev.report import ModelInfo
from lungsev.runtime.benchmark.floor import Bfloat16, Floor, find_floor, matrix_peak_gflops, measure_bfloat16
from lungsev.runtime.benchmark.machine import describe_machine
from lungsev.runtime.outputs.catalog import OUTPUTS
from lungsev.system import python_command

# `read` is in the sandbox; `infer` holds the way to the device and back, which `transfer` times apart where there is
# one; `decode` is from the network's outputs to grades; `write` is the JSON file, flushed to the disk.
STAGES = ("read", "prepare", "transfer", "infer", "decode", "write", "total")
PORTABLE_IMAGE = (2500, 2048)

_COLD_START = """
import time
import lungsev
from lungsev.inference.select import DeviceOptions
from lungsev.inference.tensorrt.settings import EngineSettings
bundle, backend, threads, image, engine = sys.argv[1:]
device = DeviceOptions(EngineSettings.model_validate_json(engine))
with lungsev.load(bundle or None, backend, int(threads) or None, device=device) as model:
    opened = time.monotonic()
    model.score(image)
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
        """Return plain values, for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the JSON of `to_dict`."""
        return json.dumps(self.to_dict(), indent=2)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return stage, p50, p95 and p99 in milliseconds, as text."""
        return [
            (name, f"{times.p50:.2f}", f"{times.p95:.2f}", f"{times.p99:.2f}") for name, times in self.stages.items()
        ]

    def remarks(self) -> list[str]:
        """Return everything beside the table, a line each."""
        model = self.model
        lines = [
            f"{model.name} {model.version}: {model.backend} {model.precision} on {model.device}"
            + (f" ({model.reason})" if model.reason else ""),
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
                "it changes grades and must be asked for"
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
    engine: EngineSettings = AUTOMATIC,
) -> BenchResult:
    """Score one image file again and again, from the file to its JSON file.

    Args:
        bundle: Bundle folder or .zip; None is the packaged model.
        backend: Name of the backend, or `auto`.
        threads: CPU threads of the network; None is all cores.
        radiograph: None writes a phantom of a portable unit's size as 12-bit uncompressed DICOM.
        runs: Number of timed images.
        warm_up: Number of images before them.
        cold_start: Also start a fresh process and time its first score.
        progress: Called with runs done and runs in all.
        engine: Of TensorRT. `auto` measures the GPU where its engine was built before.

    Raises:
        LungsevError: The model cannot be opened, or the image cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="lungsev-bench-") as folder:
        path = radiograph if radiograph is not None else write_portable_image(Path(folder) / "image.dcm")
        with load(bundle, backend, threads, device=DeviceOptions(engine, wait=True)) as model:
            model.probe()
            opened, device = model.scorer.bundle, in_use(model.scorer.backend)
            needs_peak = device.device == "cpu" and opened.manifest.graphs["fp32"].gflop is not None
            peak = matrix_peak_gflops(threads) if needs_peak else 0.0
            samples: dict[str, list[float]] = {name: [] for name in STAGES}
            for index in range(warm_up + runs):
                for stage, milliseconds in _run_once(model, path, Path(folder) / "report.json").items():
                    if index >= warm_up:
                        samples[stage].append(milliseconds)
                if progress is not None:
                    progress(max(0, index + 1 - warm_up), runs)
            if needs_peak:  # before and after: a busy machine rarely slows both
                peak = max(peak, matrix_peak_gflops(threads))
            info = model.info
        memory_mb = _peak_memory_mb()
        stages = {name: _stage_times(values) for name, values in samples.items() if values}
        cold = _cold_start(bundle, info.backend, threads, path, engine) if cold_start else (None, None)
    fastest = stages["infer"].fastest
    return BenchResult(
        lungsev=__version__,
        measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=describe_machine(),
        model=info,
        radiograph="portable phantom 2500 x 2048, 12 bit, uncompressed DICOM"
        if radiograph is None
        else "an image of the user",
        runs=runs,
        stages=stages,
        images_per_second=round(1000 / stages["total"].p50, 2),
        cold_start_ms=cold[0],
        first_score_ms=cold[1],
        peak_memory_mb=memory_mb,
        floor=find_floor(opened, device, peak, fastest),
        bfloat16=measure_bfloat16(opened, fastest) if device.name == "onnxruntime" and device.device == "cpu" else None,
    )


def write_portable_image(path: Path) -> Path:
    """Write a phantom as a portable unit sends it: 2500 x 2048, 12 bits, uncompressed."""
    from lungsev.phantom import make_phantom, write_phantom_dicom

    write_phantom_dicom(make_phantom(1, size_px=PORTABLE_IMAGE), path, transfer_syntax="explicit", bits=12)
    return path


def _run_once(model: Model, path: Path, target: Path) -> dict[str, float]:
    """Score one image to its JSON file; milliseconds by stage."""
    started = time.perf_counter()
    scored = model.examine(path)
    before_writing = time.perf_counter()
    OUTPUTS["json"].write(scored, target)
    done = time.perf_counter()
    if scored.canvas is None:
        raise LungsevError(f"the image cannot be timed: {scored.report.message} Give another image")
    stages = {**scored.stages_ms, "write": (done - before_writing) * 1000, "total": (done - started) * 1000}
    backend = in_use(model.scorer.backend)
    if isinstance(backend, DeviceMemoryBackend):
        pixels = np.ascontiguousarray(scored.canvas.pixels[None, None])
        started = time.perf_counter()
        backend.transfer(pixels)
        stages["transfer"] = (time.perf_counter() - started) * 1000
    return stages


def _stage_times(samples: list[float]) -> StageTimes:
    p50, p95, p99 = (round(float(value), 3) for value in np.percentile(samples, [50, 95, 99]))
    return StageTimes(p50, p95, p99, round(min(samples), 3))


def _peak_memory_mb() -> float:
    """The peak of this process and, on top, that of the largest child that has ended: the reading process."""
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(sum(peaks) / 1024, 1)


def _cold_start(
    bundle: Path | None, backend: str, threads: int | None, radiograph: Path, engine: EngineSettings = AUTOMATIC
) -> tuple[float, float]:
    """Milliseconds from starting a process to an open model, and to its first score."""
    arguments = [str(bundle) if bundle else "", backend, str(threads or 0), str(radiograph), engine.model_dump_json()]
    started = time.monotonic()
    found = subprocess.run(
        python_command(_COLD_START, *arguments), capture_output=True, text=True, check=False, timeout=600
    )
    if found.returncode != 0:
        reason = found.stderr.strip().splitlines()[-1] if found.stderr.strip() else "no reason given"
        raise LungsevError(f"the cold start failed: {reason}; leave it out with --warm")
    opened, scored = (float(text) for text in found.stdout.split()[-2:])
    return round((opened - started) * 1000, 1), round((scored - started) * 1000, 1)
