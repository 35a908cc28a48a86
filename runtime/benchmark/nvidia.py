"""Clocks, temperature, power and energy of an NVIDIA card: by NVML's Python package, else by nvidia-smi."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from lungsev.inference.tensorrt.hardware import has_nvidia_gpu
from lungsev.runtime.benchmark.sensors import LinuxSource, Reading, Source

_ASKED = "name,clocks.sm,clocks.mem,temperature.gpu,power.draw"
_MILLISECONDS = 200
_END_SECONDS = 5.0


def machine_sources(root: Path = Path("/")) -> list[Source]:
    """Return every source of readings that this machine has.

    Args:
        root: Of the file system.
    """
    sources: list[Source] = [LinuxSource(root)]
    if has_nvidia_gpu(root):
        sources += [source for source in (open_nvidia(),) if source is not None]
    return sources


def open_nvidia() -> Source | None:
    """Return NVML where its package is installed and works, else nvidia-smi, else None: a Jetson has neither."""
    if find_spec("pynvml") is not None:
        import pynvml

        with contextlib.suppress(pynvml.NVMLError):
            return NvmlSource(pynvml)
    return SmiSource() if shutil.which("nvidia-smi") else None


def visible_card() -> str:
    """Number or UUID of the card that CUDA shows first: that of CUDA_VISIBLE_DEVICES, else 0."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip() or "0"


class NvmlSource:
    """The first visible card by NVML.

    Args:
        nvml: The module `pynvml` of nvidia-ml-py.

    Raises:
        NVMLError: Of the module: there is no driver or no card.
    """

    def __init__(self, nvml: ModuleType) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        card = visible_card()
        by_number = card.isdigit()
        self._card = nvml.nvmlDeviceGetHandleByIndex(int(card)) if by_number else nvml.nvmlDeviceGetHandleByUUID(card)
        name = nvml.nvmlDeviceGetName(self._card)
        self._name = name.decode() if isinstance(name, bytes) else str(name)

    def read(self) -> list[Reading]:
        """See `Source`; a card that does not tell one value tells the others."""
        nvml, card = self._nvml, self._card
        asked = (
            ("clock", "SM", lambda: float(nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_SM))),
            ("clock", "memory", lambda: float(nvml.nvmlDeviceGetClockInfo(card, nvml.NVML_CLOCK_MEM))),
            ("temperature", "", lambda: float(nvml.nvmlDeviceGetTemperature(card, nvml.NVML_TEMPERATURE_GPU))),
            ("power", "", lambda: nvml.nvmlDeviceGetPowerUsage(card) / 1000),  # milliwatts
        )
        readings = []
        for kind, part, ask in asked:
            with contextlib.suppress(nvml.NVMLError):
                readings.append(Reading(kind, f"{self._name} {part}".strip(), ask()))  # type: ignore[arg-type]
        return readings

    def joules(self) -> dict[str, float]:
        """The card's counter of millijoules, since Volta."""
        with contextlib.suppress(self._nvml.NVMLError):
            return {self._name: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._card) / 1000}
        return {}

    def close(self) -> None:
        """See `Source`."""
        with contextlib.suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


class SmiSource:
    """The first visible card by nvidia-smi, which stays open and prints a line several times a second."""

    def __init__(self) -> None:
        command = ["nvidia-smi", f"--id={visible_card()}", f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits"]
        self._process = subprocess.Popen(
            [*command, f"--loop-ms={_MILLISECONDS}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._last: list[Reading] = []
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="nvidia-smi", daemon=True)
        self._thread.start()

    def read(self) -> list[Reading]:
        """See `Source`."""
        return self._last

    def joules(self) -> dict[str, float]:
        """Nothing: nvidia-smi tells no energy."""
        return {}

    def close(self) -> None:
        """See `Source`."""
        self._process.kill()
        self._process.wait(_END_SECONDS)
        self._thread.join(_END_SECONDS)

    def _follow(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._last = readings_of(line)
                self._first.set()


def readings_of(line: str) -> list[Reading]:
    """Return what a line of nvidia-smi tells; `[N/A]` and `[Not Supported]` tell nothing."""
    name, *values = (value.strip() for value in line.split(","))
    kinds = (("clock", " SM"), ("clock", " memory"), ("temperature", ""), ("power", ""))
    readings = []
    for (kind, part), value in zip(kinds, values, strict=False):
        with contextlib.suppress(ValueError):
            readings.append(Reading(kind, name + part, float(value)))  # type: ignore[arg-type]
    return readings
