"""Result of a bench: its JSON, its tables and its remarks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lungsev.report import ModelInfo
from lungsev.runtime.benchmark.floor import Bfloat16, Floor
from lungsev.runtime.benchmark.load import MachineLoad
from lungsev.runtime.benchmark.profile import Profile
from lungsev.runtime.benchmark.sensors import Sensors
from lungsev.runtime.console import count_noun

KIND = "lungsev-bench"
STATISTICS = ("p50", "p90", "p95", "p99", "fastest")
COLUMNS = ("median", "p90", "p95", "p99", "fastest")
_NAME_WIDTH = 40


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds of one stage over all images; p50 is the median."""

    p50: float
    p90: float
    p95: float
    p99: float
    fastest: float
    n: int
    unit: str = "ms"

    def texts(self) -> tuple[str, ...]:
        """Return the figures in the order of COLUMNS."""
        return tuple(format_ms(getattr(self, name)) for name in STATISTICS)


def stage_times(samples: Sequence[float]) -> StageTimes:
    """Return the figures of samples in milliseconds."""
    p50, p90, p95, p99 = (round(float(value), 3) for value in np.percentile(samples, [50, 90, 95, 99]))
    return StageTimes(p50, p90, p95, p99, round(min(samples), 3), len(samples))


@dataclass(frozen=True)
class BenchResult:
    """One run of the bench.

    Attributes:
        stages: From the image's file to its JSON file, as `score` has them, and their `total`.
        pause_seconds: Before each of these images.
        images_per_second: Of as many images in a row.
        drops: From the file's arrival in a watched folder to its result: `wait`, `work`, `drop_to_result`; empty where
            it was not measured.
        drop_disk: File system of the watched folder.
        drop_backend: What scored there, as the reports say.
    """

    lungsev: str
    measured_at: str
    machine: dict[str, Any]
    load: MachineLoad
    model: ModelInfo
    radiograph: str
    runs: int
    stages: dict[str, StageTimes]
    pause_seconds: float
    images_per_second: float
    peak_memory_mb: float
    sensors: Sensors
    floor: Floor
    profile: Profile | None = None
    drops: dict[str, StageTimes] = field(default_factory=dict)
    drop_disk: str = ""
    drop_backend: str = ""
    cold_start_ms: float | None = None
    first_score_ms: float | None = None
    bfloat16: Bfloat16 | None = None
    kind: str = KIND

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        values = asdict(self)
        return {"kind": values.pop("kind"), **values}

    def to_json(self) -> str:
        """Return the JSON of `to_dict`."""
        return json.dumps(self.to_dict(), indent=2)

    def heading(self) -> list[str]:
        """Return what was measured and where, and why to distrust it, a line each."""
        model, machine = self.model, self.machine
        reason = f" ({model.reason})" if model.reason else ""
        mode = f", power mode {machine['power_mode']}" if machine["power_mode"] else ""
        lines = [
            f"lungsev {self.lungsev}, {model.name} {model.version}: "
            f"{model.backend} {model.precision} on {model.device}{reason}",
            f"{machine['processor']}, {count_noun(machine['cores'], 'CPU')}{mode}; "
            f"load average {self.load.load_average_before:.2f} before, {self.load.load_average_after:.2f} after",
        ]
        if self.load.warnings:
            lines += [f"warning: {warning}" for warning in self.load.warnings]
            lines[-1] += "; measure again on a quiet machine"
        return lines

    def remarks(self) -> list[str]:
        """Return everything beside the tables, a line each."""
        speed = f"{self.images_per_second:.1f} images per second in a row"
        lines = [f"{speed}; {self.peak_memory_mb:.0f} MB of memory"]
        if self.cold_start_ms is not None and self.first_score_ms is not None:
            lines.append(
                f"a fresh process is open after {self.cold_start_ms:.0f} ms, and has its first score after "
                f"{self.first_score_ms:.0f} ms"
            )
        model = self.model
        if self.drop_backend not in ("", f"{model.backend} {model.precision} on {model.device}"):
            lines.append(f"warning: the images of the watched folder were scored by {self.drop_backend}")
        return [*lines, *self._floor_lines(), *self._sensor_lines(), *self._bfloat16_lines()]

    def layer_rows(self, most: int) -> list[tuple[str, str, str, str, str, str, str]]:
        """Return name, operator, milliseconds, share, GFLOP, megabytes and floor of the slowest layers."""
        layers = self.profile.layers[:most] if self.profile is not None else ()
        return [
            (
                layer.name if len(layer.name) <= _NAME_WIDTH else f"{layer.name[: _NAME_WIDTH - 3]}...",
                layer.kind or "-",
                f"{layer.ms:.3f}",
                f"{layer.share:.1%}",
                "-" if layer.gflop is None else f"{layer.gflop:.3f}",
                "-" if layer.megabytes is None else f"{layer.megabytes:.2f}",
                "-" if layer.floor_ms is None else f"{layer.floor_ms:.3f}",
            )
            for layer in layers
        ]

    def layer_title(self) -> str:
        """Return what the layers were measured with, or why there are none."""
        profile = self.profile
        if profile is None:
            return ""
        if profile.note:
            return f"layers were not measured: {profile.note}"
        return (
            f"slowest of {count_noun(len(profile.layers), 'layer')}, median ms of {profile.runs} runs, "
            f"{profile.total_ms:.1f} ms in all ({profile.source})"
        )

    def _floor_lines(self) -> list[str]:
        floor = self.floor
        if floor.peak is None or floor.floor_ms is None:
            return [f"no floor of the network: {floor.note}"]
        traffic_ms = sum(layer.floor_ms for layer in floor.layers if layer.bound == "memory")
        return [
            f"floor of the network {format_ms(floor.floor_ms)} ms: over its {len(floor.layers)} layers, the sum of the "
            f"larger of arithmetic and traffic; {traffic_ms / floor.floor_ms:.0%} of it is traffic",
            f"  its fastest run takes {floor.ratio:.2f} times that",
            f"  {floor.gflop:.2f} GFLOP alone take {format_ms(floor.arithmetic_ms or 0.0)} ms, the "
            f"{floor.megabytes:.0f} MB of weights and activations {format_ms(floor.traffic_ms or 0.0)} ms",
            f"  peak: {_peaks(floor)} ({floor.peak.source})",
        ]

    def _sensor_lines(self) -> list[str]:
        sensors = self.sensors
        lines = [
            f"{found.kind} {found.name}: {found.median:g} {found.unit} ({found.least:g} to {found.most:g})"
            for found in sensors.ranges
        ]
        if sensors.energy_j_per_image is not None:
            idle = f", {sensors.idle_w:.1f} W when idle" if sensors.idle_w is not None else ""
            lines.append(
                f"energy: {sensors.energy_j_per_image:.2f} J per image, idle power included ({sensors.energy_of}, by "
                f"{sensors.energy_from}{idle})"
            )
        if sensors.not_told:
            lines.append(f"not told by this machine: {', '.join(sensors.not_told)}")
        return lines

    def _bfloat16_lines(self) -> list[str]:
        half = self.bfloat16
        if half is None:
            return []
        if half.mean_ms is None:
            return [f"bfloat16 was not measured: {half.note}"]
        return [
            f"bfloat16 takes {half.mean_ms:.1f} ms, the {half.again:.0%} of images graded again in FP32 included: "
            f"{half.times_as_fast:.1f} times as fast as ONNX Runtime"
        ]


def format_ms(milliseconds: float) -> str:
    """Return milliseconds with as many digits as they deserve: 154.5, 9.83, 0.472."""
    return f"{milliseconds:.{1 if milliseconds >= 100 else 2 if milliseconds >= 1 else 3}f}"


def _peaks(floor: Floor) -> str:
    assert floor.peak is not None
    peak = floor.peak
    half = f" in FP32, {peak.half_gflops:.0f} in half precision" if peak.half_gflops != peak.gflops else ""
    return f"{peak.gflops:.0f} GFLOP/s{half}, {peak.gb_per_s:.0f} GB/s"
