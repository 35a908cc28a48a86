"""A result of the bench, as a quiet machine gives it."""

from __future__ import annotations

from lungsev.report import ModelInfo
from lungsev.runtime.benchmark.floor import Floor, LayerFloor
from lungsev.runtime.benchmark.load import MachineLoad
from lungsev.runtime.benchmark.peaks import Peak
from lungsev.runtime.benchmark.profile import Profile, ProfiledLayer
from lungsev.runtime.benchmark.result import BenchResult, stage_times
from lungsev.runtime.benchmark.sensors import Sensors

QUIET = MachineLoad(2, 0.1, 0.9, 0.0, 0.0, 0.0, {}, ())
FLOOR = Floor(
    "",
    gflop=2.5,
    megabytes=190.0,
    peak=Peak(80, 80, 40, "measured"),
    arithmetic_ms=31.25,
    traffic_ms=4.75,
    floor_ms=32.0,
    ratio=1.25,
    layers=(LayerFloor("a", "Conv", 2.5, 100, 24.0, "arithmetic"), LayerFloor("b", "Conv", 0, 90, 8.0, "memory")),
)
RESULT = BenchResult(
    lungsev="0.1.0",
    measured_at="2026-11-28T22:00:00+00:00",
    machine={"processor": "AMD EPYC", "cores": 2, "power_mode": None},
    load=QUIET,
    model=ModelInfo("m", "1", "0" * 64, "onnxruntime", "cpu", "fp32"),
    radiograph="portable phantom",
    runs=10,
    pause_seconds=0.5,
    stages={"total": stage_times(list(range(1, 11)))},
    images_per_second=6.5,
    peak_memory_mb=500.0,
    sensors=Sensors(1.0),
    floor=FLOOR,
    profile=Profile("the profiler", "", 10, 2.5, (ProfiledLayer("conv", "Conv", "", 2.5, 1.0, 0.5, 3.0, 1.0),)),
    drops={name: stage_times([value]) for name, value in (("wait", 100.0), ("work", 400.0), ("drop_to_result", 500.0))},
    drop_disk="ext4",
)
