"""The machine that figures were measured on: a figure without it means nothing."""

from __future__ import annotations

import os
import platform
import re
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
        "power_mode": _power_mode(Path("/")),
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


def _power_mode(root: Path) -> str | None:
    """Jetson's power mode, e.g. `MAXN_SUPER (2)`: numbers mean other modes on other modules, so nvpmodel names it."""
    try:
        status = (root / "var/lib/nvpmodel/status").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    number = re.fullmatch(r"pmode:0*(\d+)", status)
    if number is None:
        return status or None
    try:
        modes = (root / "etc/nvpmodel.conf").read_text(encoding="ascii", errors="replace")
    except OSError:
        return status
    name = re.search(rf"^<\s*POWER_MODEL\s+ID={number[1]}\s+NAME=(\S+)", modes, re.MULTILINE)
    return f"{name[1]} ({number[1]})" if name else status
