from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.runtime.benchmark.sensors import LinuxSource, Reading, Sensors, SensorWatch


class Told:
    """A source whose readings and counters are what the test says."""

    def __init__(self, readings: list[list[Reading]], joules: list[dict[str, float]] | None = None) -> None:
        self._readings, self._joules = iter(readings), iter(joules or [{}, {}, {}, {}])
        self.closed = False

    def read(self) -> list[Reading]:
        return next(self._readings)

    def joules(self) -> dict[str, float]:
        return next(self._joules)

    def close(self) -> None:
        self.closed = True


def watched(source: Told, images: int = 10) -> Sensors:
    """A second of quiet at 0 s, runs from 1 to 11 s."""
    clock = iter([0.0, 1.0, 1.0, 11.0])
    watch = SensorWatch([source], seconds=60.0, monotonic=lambda: next(clock))
    watch.quiet_is_over()
    watch.start()
    return watch.finish(images)


def power(watts: float, name: str = "VDD_IN") -> Reading:
    return Reading("power", name, watts)


def write(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


def test_a_machine_that_tells_nothing_is_said_to() -> None:
    sensors = watched(Told([[]] * 4))
    assert sensors.ranges == ()
    assert sensors.energy_j_per_image is None
    assert sensors.not_told == ("clock", "temperature", "power", "energy")


def test_power_is_added_up_to_energy_per_image() -> None:
    source = Told([[power(4)], [power(6)], [power(10)], [power(20)]])
    sensors = watched(source)
    assert sensors.energy_j_per_image == pytest.approx((10 + 20) / 2 * 10 / 10)
    assert (sensors.energy_of, sensors.energy_from, sensors.idle_w) == ("VDD_IN", "power", 5.0)
    (found,) = sensors.ranges
    assert (found.kind, found.unit, found.least, found.median, found.most) == ("power", "W", 10, 15, 20)
    assert sensors.not_told == ("clock", "temperature")
    assert source.closed


def test_a_counter_of_energy_goes_before_power() -> None:
    joules = [{"package-0": value} for value in (5.0, 12.0, 20.0, 120.0)]
    sensors = watched(Told([[]] * 4, joules))
    assert (sensors.energy_j_per_image, sensors.energy_of, sensors.energy_from) == (10.0, "package-0", "counter")
    assert sensors.idle_w == 7.0


def test_a_counter_that_wrapped_says_nothing() -> None:
    joules = [{"package-0": value} for value in (5.0, 12.0, 20.0, 3.0)]
    assert watched(Told([[]] * 4, joules)).energy_j_per_image is None


def test_the_rail_that_feeds_a_jetson_counts_and_not_those_behind_it() -> None:
    readings = [power(10), power(4, "VDD_CPU_GPU_CV"), power(2, "VDD_SOC")]
    assert watched(Told([readings] * 4)).energy_j_per_image == pytest.approx(10.0)


def test_an_agx_orin_has_three_rails_and_one_behind_them() -> None:
    readings = [
        power(watts, rail)
        for rail, watts in (("VDD_GPU_SOC", 8), ("VDD_CPU_CV", 3), ("VIN_SYS_5V0", 5), ("VDDQ_VDD2_1V8AO", 1))
    ]
    sensors = watched(Told([readings] * 4))
    assert sensors.energy_j_per_image == pytest.approx(16.0)
    assert "VDDQ" not in sensors.energy_of


def test_a_processor_tells_clock_temperature_and_energy(tmp_path: Path) -> None:
    cpus = tmp_path / "sys/devices/system/cpu"
    write(cpus / "cpu0/cpufreq/scaling_cur_freq", 3_000_000)
    write(cpus / "cpu1/cpufreq/scaling_cur_freq", 2_000_000)
    write(tmp_path / "sys/class/thermal/thermal_zone0/type", "x86_pkg_temp")
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", 61_500)
    write(tmp_path / "sys/class/thermal/thermal_zone1/type", "acpitz")
    write(tmp_path / "sys/class/thermal/thermal_zone1/temp", 27_800)
    write(tmp_path / "sys/class/hwmon/hwmon0/name", "k10temp")
    write(tmp_path / "sys/class/hwmon/hwmon0/temp1_input", 55_000)
    for zone, name, microjoules in (("0", "package-0", 5_000_000), ("0:0", "core", 3_000_000)):
        write(tmp_path / f"sys/class/powercap/intel-rapl:{zone}/name", name)
        write(tmp_path / f"sys/class/powercap/intel-rapl:{zone}/energy_uj", microjoules)
    source = LinuxSource(tmp_path)
    assert source.read() == [
        Reading("clock", "CPU", 2500.0),
        Reading("temperature", "x86_pkg_temp", 61.5),
        Reading("temperature", "k10temp", 55.0),
    ]
    assert source.joules() == {"package-0": 5.0}


def test_a_jetson_tells_rails_and_the_clock_of_its_gpu(tmp_path: Path) -> None:
    sensor = tmp_path / "sys/class/hwmon/hwmon3"
    write(sensor / "name", "ina3221")
    for channel, rail, millivolts, milliamperes in ((1, "VDD_IN", 5000, 1400), (2, "VDD_CPU_GPU_CV", 5000, 500)):
        write(sensor / f"in{channel}_label", rail)
        write(sensor / f"in{channel}_input", millivolts)
        write(sensor / f"curr{channel}_input", milliamperes)
    write(tmp_path / "sys/class/devfreq/17000000.gpu/cur_freq", 1_020_000_000)
    write(tmp_path / "sys/class/devfreq/15340000.vic/cur_freq", 115_200_000)
    write(tmp_path / "sys/kernel/debug/bpmp/debug/clk/emc/rate", 3_199_000_000)
    write(tmp_path / "sys/class/thermal/thermal_zone0/type", "gpu-thermal")
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", 48_000)
    assert LinuxSource(tmp_path).read() == [
        Reading("clock", "GPU", 1020.0),
        Reading("clock", "memory", 3199.0),
        Reading("temperature", "gpu-thermal", 48.0),
        Reading("power", "VDD_IN", 7.0),
        Reading("power", "VDD_CPU_GPU_CV", 2.5),
    ]


def test_files_that_cannot_be_read_are_no_error(tmp_path: Path) -> None:
    write(tmp_path / "sys/class/thermal/thermal_zone0/type", "cpu-thermal")
    write(tmp_path / "sys/class/thermal/thermal_zone0/temp", "N/A")
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").mkdir(parents=True)
    source = LinuxSource(tmp_path)
    assert (source.read(), source.joules()) == ([], {})
