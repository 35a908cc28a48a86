"""Speed of lungsev on this machine: every stage of an image as `score` and `watch` run it, and the cold start.

result = run_bench(BenchPlan())
result.to_dict()                       for machines
result.heading(), .stages, .remarks()  for a person
"""

from __future__ import annotations

import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from lungsev import __version__
from lungsev.errors import LungsevError
from lungsev.inference.backend import DeviceMemoryBackend
from lungsev.inference.select import DeviceOptions
from lungsev.inference.status import in_use
from lungsev.inference.tensorrt.settings import AUTOMATIC, EngineSettings
from lungsev.model import Model, load
from lungsev.report import ModelInfo
from lungsev.runtime.benchmark.drop import DROP_STAGES, PORTABLE_IMAGE, DropTimes, measure_drops
from lungsev.runtime.benchmark.floor import Bfloat16, Floor, find_floor, measure_bfloat16
from lungsev.runtime.benchmark.load import LoadWatch
from lungsev.runtime.benchmark.machine import describe_machine
from lungsev.runtime.benchmark.nvidia import machine_sources
from lungsev.runtime.benchmark.peaks import Peak, faster_of, measure_cpu_peak
from lungsev.runtime.benchmark.profile import Profile, profile_layers
from lungsev.runtime.benchmark.result import BenchResult, StageTimes, stage_times
from lungsev.runtime.benchmark.sensors import Sensors, SensorWatch
from lungsev.runtime.outputs.catalog import OUTPUTS
from lungsev.runtime.scan import file_system_of
from lungsev.runtime.settings import BedsideSettings
from lungsev.system import python_command

# `read` is in the sandbox; `infer` holds the way to the device and back, which `transfer` times apart where there is
# one; `decode` is from the network's outputs to grades; `write` is the JSON file, flushed to the disk.
STAGES = ("read", "prepare", "transfer", "infer", "decode", "write", "total")

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

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BenchPlan:
    """What is measured.

    Attributes:
        settings: Of the bedside computer: model, backend, threads, outputs, site. TensorRT's `auto` measures the GPU
            where its engine was built before.
        radiograph: None writes a phantom of a portable unit's size as 12-bit uncompressed DICOM.
        runs: Timed images from file to JSON, and as many in a row.
        pause_seconds: Before each timed image, as at a bedside, where images come one by one.
        warm_up: Images before them.
        drops: Timed images from the watched folder to the result; 0 leaves them out.
        drop_folder: Where that folder is made: on the disk that is to be measured. None is the system's temporary one.
        layers: Profile the network's layers.
        cold_start: Also start a fresh process and time its first score.
        progress: Called with what is done, runs done and runs in all.
    """

    settings: BedsideSettings = field(default_factory=BedsideSettings)
    radiograph: Path | None = None
    runs: int = 30
    pause_seconds: float = 0.5
    warm_up: int = 3
    drops: int = 10
    drop_folder: Path | None = None
    layers: bool = True
    cold_start: bool = True
    progress: Progress = lambda what, done, of: None


@dataclass(frozen=True)
class _Scored:
    """What the open model gave."""

    info: ModelInfo
    skipped: str | None
    samples: dict[str, list[float]]
    images_per_second: float
    memory_mb: float
    sensors: Sensors
    floor: Floor
    profile: Profile | None
    bfloat16: Bfloat16 | None


def run_bench(plan: BenchPlan) -> BenchResult:
    """Score one image file again and again, from the file to its JSON file, then drop it into a watched folder.

    Raises:
        LungsevError: The model cannot be opened, or the image cannot be read.
    """
    model = plan.settings.model
    plan.progress("listening to the quiet machine", 0, 1)
    sensors = SensorWatch(machine_sources())
    load_watch = LoadWatch()
    sensors.quiet_is_over()
    with tempfile.TemporaryDirectory(prefix="lungsev-bench-") as folder:
        path = plan.radiograph if plan.radiograph is not None else write_portable_image(Path(folder) / "image.dcm")
        scored = _measure_model(plan, path, Path(folder) / "report.json", sensors)
        memory_mb = scored.memory_mb + _peak_memory_mb(resource.RUSAGE_CHILDREN)  # the reading process has ended
        drops = _measure_drops(plan, _backend_name(scored.info)) if plan.drops else []
        load = load_watch.finish()
        cold: tuple[float | None, float | None] = (None, None)
        if plan.cold_start:
            plan.progress("a fresh process", 0, 1)
            cold = _cold_start(model.bundle_path(), _backend_name(scored.info), model.threads, path, model.engine)
    stages = {name: stage_times(values) for name, values in scored.samples.items() if values}
    return BenchResult(
        lungsev=__version__,
        measured_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine={**describe_machine(), "threads": model.threads},
        load=load,
        model=scored.info,
        radiograph=_describe_image(plan, scored.skipped),
        runs=plan.runs,
        stages=stages,
        pause_seconds=plan.pause_seconds,
        images_per_second=round(scored.images_per_second, 2),
        peak_memory_mb=round(memory_mb, 1),
        sensors=scored.sensors,
        floor=scored.floor,
        profile=scored.profile,
        drops=_drop_stages(drops),
        drop_disk=file_system_of(plan.drop_folder or Path(tempfile.gettempdir())) if drops else "",
        drop_backend=" and ".join(sorted({drop.scored_by for drop in drops})),
        cold_start_ms=cold[0],
        first_score_ms=cold[1],
        bfloat16=scored.bfloat16,
    )


def write_portable_image(path: Path) -> Path:
    """Write a phantom as a portable unit sends it: 2500 x 2048, 12 bits, uncompressed."""
    from lungsev.phantom import make_phantom, write_phantom_dicom

    write_phantom_dicom(make_phantom(1, size_px=PORTABLE_IMAGE), path, transfer_syntax="explicit", bits=12)
    return path


def _measure_model(plan: BenchPlan, path: Path, target: Path, sensors: SensorWatch) -> _Scored:
    """Time the stages on an open model, then its layers."""
    settings = plan.settings.model
    device_options = DeviceOptions(settings.engine, wait=True)
    with load(
        settings.bundle_path(),
        settings.backend,
        settings.threads,
        allow_unsigned=settings.allow_unsigned,
        device=device_options,
    ) as model:
        model.probe()
        opened = model.scorer.bundle
        for _ in range(plan.warm_up):
            _run_once(model, path, target)
        sensors.start()
        started = time.perf_counter()
        for index in range(plan.runs):
            _run_once(model, path, target)
            plan.progress("scoring in a row", index + 1, plan.runs)
        images_per_second = plan.runs / (time.perf_counter() - started)
        told = sensors.finish(plan.runs)
        samples: dict[str, list[float]] = {name: [] for name in STAGES}
        for index in range(plan.runs):
            time.sleep(plan.pause_seconds)
            for stage, milliseconds in _run_once(model, path, target).items():
                samples[stage].append(milliseconds)
            plan.progress("scoring one by one", index + 1, plan.runs)
        memory_mb = _peak_memory_mb(resource.RUSAGE_SELF)
        plan.progress("the layers", 0, 1)
        device, infer_ms = in_use(model.scorer.backend), min(samples["infer"])
        peak = _cpu_peak(settings.threads) if device.device == "cpu" else None
        floor = find_floor(opened, device, peak, infer_ms)
        profile = profile_layers(opened, device, floor, settings.threads) if plan.layers else None
        on_cpu = device.name == "onnxruntime" and device.device == "cpu"
        half = measure_bfloat16(opened, infer_ms) if on_cpu else None
        return _Scored(
            model.info, _reason_in(target), samples, images_per_second, memory_mb, told, floor, profile, half
        )


def _cpu_peak(threads: int | None) -> Peak:
    """The best of several measurements: a busy machine rarely slows all."""
    return faster_of(measure_cpu_peak(threads), measure_cpu_peak(threads))


def _reason_in(report: Path) -> str | None:
    """Why the image got no score, from the report that the last run wrote."""
    reason: str | None = json.loads(report.read_text(encoding="utf-8")).get("reason")
    return reason


def _backend_name(info: ModelInfo) -> str:
    """The name that opens the backend which scored: `auto` would begin anew."""
    return "bfloat16" if info.precision == "bf16" else info.backend


def _describe_image(plan: BenchPlan, skipped: str | None) -> str:
    if plan.radiograph is None:
        return "portable phantom 2500 x 2048, 12 bit, uncompressed DICOM"
    return "an image of the user" + (f", which gets no score ({skipped})" if skipped else "")


def _measure_drops(plan: BenchPlan, backend: str) -> list[DropTimes]:
    """Drops, with the backend that scored before: `auto` would begin on the CPU."""
    model = plan.settings.model.model_copy(update={"backend": backend})
    settings = plan.settings.model_copy(update={"model": model})
    return measure_drops(
        settings,
        plan.radiograph,
        plan.drops,
        plan.drop_folder,
        lambda done, of: plan.progress("dropping into the watched folder", done, of),
    )


def _drop_stages(drops: list[DropTimes]) -> dict[str, StageTimes]:
    if not drops:
        return {}
    samples = ([drop.wait for drop in drops], [drop.work for drop in drops], [drop.total for drop in drops])
    return {name: stage_times(values) for name, values in zip(DROP_STAGES, samples, strict=True)}


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


def _peak_memory_mb(who: int) -> float:
    """The peak of this process, or that of the largest child that has ended."""
    return resource.getrusage(who).ru_maxrss / 1024


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
