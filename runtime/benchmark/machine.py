"""The machine that figures were measured on: a figure without it means nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from lungsev.inference.cpus import usable_cpus


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, load, power mode and versions."""
    import onnxruntime

    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": usable_cpus(),
        "load": round(os.getloadavg()[0], 1),
        "power_mode": _power_mode(Path("/var/lib/nvpmodel/status")),
        "python": platform.python_version(),
        "onnxruntime": onnxruntime.__version__,
    }


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _power_mode(status: Path) -> str | None:
    """Jetson's power mode, for example `pmode:0002`, from nvpmodel's state file."""
    try:
        return status.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None
