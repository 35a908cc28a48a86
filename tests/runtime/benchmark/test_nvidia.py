from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lungsev.runtime.benchmark import nvidia
from lungsev.runtime.benchmark.nvidia import NvmlSource, SmiSource, machine_sources, open_nvidia, readings_of
from lungsev.runtime.benchmark.sensors import LinuxSource, Reading


class NVMLError(Exception):
    pass


def fails(*_arguments: object) -> Any:
    raise NVMLError("Not Supported")


def nvml(**changes: Any) -> Any:
    calls = {
        "NVMLError": NVMLError,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda number: f"card {number}",
        "nvmlDeviceGetName": lambda card: b"NVIDIA H100",
        "nvmlDeviceGetClockInfo": lambda card, kind: {1: 1980, 2: 2619}[kind],
        "nvmlDeviceGetTemperature": lambda card, kind: 41,
        "nvmlDeviceGetPowerUsage": lambda card: 123_456,
        "nvmlDeviceGetTotalEnergyConsumption": lambda card: 9_000_000,
    }
    return SimpleNamespace(**{**calls, **changes})


def test_nvml_tells_clocks_temperature_power_and_energy() -> None:
    source = NvmlSource(nvml())
    assert source.read() == [
        Reading("clock", "NVIDIA H100 SM", 1980.0),
        Reading("clock", "NVIDIA H100 memory", 2619.0),
        Reading("temperature", "NVIDIA H100", 41.0),
        Reading("power", "NVIDIA H100", 123.456),
    ]
    assert source.joules() == {"NVIDIA H100": 9000.0}
    source.close()


def test_the_card_is_the_first_that_cuda_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    module = nvml(nvmlDeviceGetHandleByIndex=asked.append, nvmlDeviceGetHandleByUUID=asked.append)
    for visible in ("", "2,0", "GPU-1234,GPU-5"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        NvmlSource(module)
    assert asked == [0, 2, "GPU-1234"]


def test_a_card_that_does_not_tell_one_value_tells_the_others() -> None:
    source = NvmlSource(nvml(nvmlDeviceGetPowerUsage=fails, nvmlDeviceGetTotalEnergyConsumption=fails))
    assert [reading.kind for reading in source.read()] == ["clock", "clock", "temperature"]
    assert source.joules() == {}


def test_a_line_of_nvidia_smi_is_read_and_what_it_does_not_tell_is_left_out() -> None:
    assert readings_of("NVIDIA L4, 2040, 6251, 38, 31.07\n") == [
        Reading("clock", "NVIDIA L4 SM", 2040.0),
        Reading("clock", "NVIDIA L4 memory", 6251.0),
        Reading("temperature", "NVIDIA L4", 38.0),
        Reading("power", "NVIDIA L4", 31.07),
    ]
    assert readings_of("NVIDIA L4, [N/A], [Not Supported], 38, [N/A]") == [Reading("temperature", "NVIDIA L4", 38.0)]
    assert readings_of("No devices were found") == []


def put_smi(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = folder / "nvidia-smi"
    script.write_text("#!/bin/sh\necho 'NVIDIA L4, 2040, 6251, 38, 31.07'\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_without_nvml_nvidia_smi_is_followed_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_smi(tmp_path, monkeypatch)
    monkeypatch.setattr(nvidia, "find_spec", lambda _name: None)
    source = open_nvidia()
    assert isinstance(source, SmiSource)
    source._first.wait(20)
    assert source.read()[3] == Reading("power", "NVIDIA L4", 31.07)
    assert source.joules() == {}
    source.close()
    assert source._process.returncode is not None


def test_nvml_goes_first_and_one_without_a_driver_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "find_spec", lambda _name: object())
    monkeypatch.setattr(nvidia.shutil, "which", lambda _name: None)
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    assert isinstance(open_nvidia(), NvmlSource)
    monkeypatch.setitem(sys.modules, "pynvml", nvml(nvmlInit=fails))
    assert open_nvidia() is None


def test_a_machine_without_a_card_asks_linux_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    assert [type(source) for source in machine_sources(tmp_path)] == [LinuxSource]
