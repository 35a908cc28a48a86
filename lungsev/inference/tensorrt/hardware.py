"""NVIDIA hardware, seen without loading NVIDIA's libraries: machines without it start no device process."""

from __future__ import annotations

import os
from pathlib import Path

_NVIDIA_VENDOR = "0x10de"
# The kernel module of a desktop card, WSL's, and those of Jetsons.
_TRACES = ("dev/nvidiactl", "proc/driver/nvidia/version", "dev/dxg", "dev/nvhost-ctrl-gpu", "dev/nvgpu", "dev/nvmap")
_DRIVER = "libcuda.so.1"
_LIBRARIES = (
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu/nvidia",
    "usr/lib/aarch64-linux-gnu/tegra",
    "usr/lib64",
    "usr/lib",
    "usr/lib/wsl/lib",
)


def has_nvidia_gpu(root: Path = Path("/")) -> bool:
    """Return whether an NVIDIA GPU may be here: its device files, its driver, or a card on the bus without one.

    Args:
        root: Of the file system.
    """
    if any((root / trace).exists() for trace in _TRACES):
        return True
    listed = (Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":") if folder)
    if any((folder / _DRIVER).exists() for folder in (*listed, *(root / folder for folder in _LIBRARIES))):
        return True
    return any(_read(path) == _NVIDIA_VENDOR for path in root.glob("sys/bus/pci/devices/*/vendor"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
