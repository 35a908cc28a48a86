"""Clocks, temperature, power and energy while a measurement runs, as far as the machine tells them.

What it does not tell is listed and never guessed. Processors tell by cpufreq, thermal zones, hwmon and RAPL; a Jetson
by the INA3221 on its rails and devfreq; NVIDIA cards by `runtime/benchmark/nvidia.py`.
"""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Literal, Protocol

Kind = Literal["clock", "temperature", "power"]
KINDS: tuple[Kind, ...] = ("clock", "temperature", "power")
UNITS: dict[Kind, str] = {"clock": "MHz", "temperature": "C", "power": "W"}
_SECONDS = 0.2
_WHOLE_RAIL = "VDD_IN"  # of a Jetson's module; the others are behind it
_INNER_RAILS = ("VDDQ_VDD2_1V8AO",)  # behind VIN_SYS_5V0 on an AGX Orin
_LEAST_IDLE_SECONDS = 0.5  # that idle power is read over at least
_CPU_THERMAL = re.compile(r"cpu|x86_pkg|coretemp|k10temp|zenpower|soc|tj|gpu", re.IGNORECASE)


@dataclass(frozen=True)
class Reading:
    """One value of one sensor at a moment."""

    kind: Kind
    name: str
    value: float


class Source(Protocol):
    """Somewhere that readings come from."""

    def read(self) -> list[Reading]:
        """Return what can be read now; nothing where it cannot."""
        ...

    def joules(self) -> dict[str, float]:
        """Return counters of energy by their name, in joules, that only grow between their wraps."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


@dataclass(frozen=True)
class SensorRange:
    """What one sensor said while the runs lasted."""

    kind: Kind
    name: str
    unit: str
    least: float
    median: float
    most: float


@dataclass(frozen=True)
class Sensors:
    """What the machine told while the runs lasted.

    Attributes:
        seconds: That were watched.
        ranges: Of every sensor.
        energy_j_per_image: Of the parts named in `energy_of`, idle power included; None where no power is told.
        energy_of: E.g. `package-0` or `VDD_IN`.
        energy_from: `counter`, or `power` where power was read several times a second and added up, or both.
        idle_w: Power of the same parts in the quiet time before; None where there was none.
        not_told: Kinds that this machine does not tell.
    """

    seconds: float
    ranges: tuple[SensorRange, ...] = ()
    energy_j_per_image: float | None = None
    energy_of: str = ""
    energy_from: str = ""
    idle_w: float | None = None
    not_told: tuple[str, ...] = (*KINDS, "energy")


class SensorWatch:
    """Reads all sources several times a second from `start` to `finish`; idle power from its making to `quiet_is_over`.

    Args:
        sources: Where readings come from; closed at the end.
        seconds: Between two readings.
        monotonic: For tests.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        seconds: float = _SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = tuple(sources)
        self._seconds = seconds
        self._monotonic = monotonic
        self._stop = threading.Event()
        self._samples: list[tuple[float, list[Reading]]] = []
        self._thread = threading.Thread(target=self._run, name="sensors", daemon=True)
        self._before = self._moment()
        self._counters: dict[str, float] = {}
        self._idle_w: float | None = None

    def quiet_is_over(self) -> None:
        """Take the power since this was made for that of an idle machine."""
        before, first, counters = self._before
        now, readings, counters_now = self._moment()
        if now - before >= _LEAST_IDLE_SECONDS:
            idle = _energy(_growth(counters, counters_now), [(before, first), (now, readings)])
            self._idle_w = sum(idle.values()) / (now - before) if idle else None

    def start(self) -> None:
        """Begin to watch."""
        now, readings, self._counters = self._moment()
        self._samples.append((now, readings))
        self._thread.start()

    def finish(self, images: int) -> Sensors:
        """Stop, and return what was told while `images` images were scored."""
        self._stop.set()
        self._thread.join()
        now, readings, counters = self._moment()
        self._samples.append((now, readings))
        for source in self._sources:
            source.close()
        grown = _growth(self._counters, counters)
        energy = _energy(grown, self._samples)
        how = [name for name, told in (("counter", grown), ("power", set(energy) - set(grown))) if told]
        ranges = _ranges(reading for _, found in self._samples for reading in found)
        told = {found.kind for found in ranges} | ({"energy"} if energy else set())
        return Sensors(
            seconds=round(now - self._samples[0][0], 2),
            ranges=ranges,
            energy_j_per_image=round(sum(energy.values()) / max(1, images), 3) if energy else None,
            energy_of=" + ".join(energy),
            energy_from=" and ".join(how),
            idle_w=None if self._idle_w is None else round(self._idle_w, 2),
            not_told=tuple(kind for kind in (*KINDS, "energy") if kind not in told),
        )

    def _moment(self) -> tuple[float, list[Reading], dict[str, float]]:
        counters = {name: value for source in self._sources for name, value in source.joules().items()}
        return self._monotonic(), self._read(), counters

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._samples.append((self._monotonic(), self._read()))

    def _read(self) -> list[Reading]:
        return [reading for source in self._sources for reading in source.read()]


class LinuxSource:
    """Processor and Jetson, from the files of Linux.

    Args:
        root: Of the file system.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._sys = root / "sys"

    def read(self) -> list[Reading]:
        """See `Source`."""
        return [*self._clocks(), *self._temperatures(), *self._rails()]

    def joules(self) -> dict[str, float]:
        """RAPL's packages, in microjoules (Linux, Documentation/power/powercap); readable by root alone on many."""
        found = {}
        for zone in sorted((self._sys / "class/powercap").glob("*rapl:*")):
            value = _number(zone / "energy_uj")
            if value is not None and zone.name.count(":") == 1:  # below it are parts of the same package
                found[_text(zone / "name") or zone.name] = value / 1e6
        return found

    def close(self) -> None:
        """See `Source`."""

    def _clocks(self) -> Iterable[Reading]:
        files = sorted((self._sys / "devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
        values = [value for value in map(_number, files) if value is not None]
        if values:
            yield Reading("clock", "CPU", sum(values) / len(values) / 1000)  # kHz
        for folder in sorted((self._sys / "class/devfreq").glob("*")):
            value = _number(folder / "cur_freq")
            if value is not None and re.search(r"gpu|ga10b|gv11b|gb10b", folder.name):
                yield Reading("clock", "GPU", value / 1e6)  # Hz
        memory = _number(self._sys / "kernel/debug/bpmp/debug/clk/emc/rate")  # of a Jetson, for root
        if memory is not None:
            yield Reading("clock", "memory", memory / 1e6)

    def _temperatures(self) -> Iterable[Reading]:
        for zone in sorted((self._sys / "class/thermal").glob("thermal_zone*")):
            name, value = _text(zone / "type"), _number(zone / "temp")
            if value is not None and value > 0 and _CPU_THERMAL.search(name):
                yield Reading("temperature", name, value / 1000)
        for sensor in sorted((self._sys / "class/hwmon").glob("hwmon*")):
            name, value = _text(sensor / "name"), _number(sensor / "temp1_input")
            if value is not None and name in ("coretemp", "k10temp", "zenpower"):
                yield Reading("temperature", name, value / 1000)

    def _rails(self) -> Iterable[Reading]:
        """A Jetson's INA3221: millivolts times milliamperes of each of its three channels."""
        for sensor in sorted((self._sys / "class/hwmon").glob("hwmon*")):
            if _text(sensor / "name") != "ina3221":
                continue
            for channel in (1, 2, 3):
                rail = _text(sensor / f"in{channel}_label")
                millivolts = _number(sensor / f"in{channel}_input")
                milliamperes = _number(sensor / f"curr{channel}_input")
                if rail and millivolts is not None and milliamperes is not None:
                    yield Reading("power", rail, millivolts * milliamperes / 1e6)


def _ranges(readings: Iterable[Reading]) -> tuple[SensorRange, ...]:
    values: defaultdict[tuple[Kind, str], list[float]] = defaultdict(list)
    for reading in readings:
        values[reading.kind, reading.name].append(reading.value)
    return tuple(
        SensorRange(kind, name, UNITS[kind], round(min(found), 2), round(median(found), 2), round(max(found), 2))
        for (kind, name), found in values.items()
    )


def _growth(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What counters of energy grew by; one that wrapped says nothing."""
    return {name: value - before[name] for name, value in after.items() if name in before and value > before[name]}


def _energy(grown: dict[str, float], samples: list[tuple[float, list[Reading]]]) -> dict[str, float]:
    """Joules by part: of its counter, else its power added up over the samples."""
    energy = dict(grown)
    powers = [(moment, _powers(readings)) for moment, readings in samples]
    for (start, first), (end, second) in pairwise(powers):
        for part in first.keys() & second.keys() - grown.keys():
            energy[part] = energy.get(part, 0.0) + (end - start) * (first[part] + second[part]) / 2
    return energy


def _powers(readings: list[Reading]) -> dict[str, float]:
    """Power by part, no part inside another."""
    powers = {reading.name: reading.value for reading in readings if reading.kind == "power"}
    if _WHOLE_RAIL in powers:
        rails = ("VDD_", "VIN_")
        return {name: watts for name, watts in powers.items() if name == _WHOLE_RAIL or not name.startswith(rails)}
    return {name: watts for name, watts in powers.items() if name not in _INNER_RAILS}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(file: Path) -> float | None:
    try:
        return float(_text(file))
    except ValueError:
        return None
