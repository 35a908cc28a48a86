"""NVIDIA hardware, seen without NVIDIA's libraries: machines without it start no device process."""

from __future__ import annotations

from pathlib import Path

_NVIDIA_VENDOR = "0x10de"
# The kernel module of a desktop card, WSL's, and those of Jetsons.
_TRACES = ("dev/nvidiactl", "proc/driver/nvidia/version", "dev/dxg", "dev/nvhost-ctrl-gpu", "dev/nvgpu", "dev/nvmap")


def has_nvidia_gpu(root: Path = Path("/")) -> bool:
    """Return whether an NVIDIA GPU may be here, with or without a driver for it.

    Args:
        root: Of the file system.
    """
    if any((root / trace).exists() for trace in _TRACES):
        return True
    return any(_read(path) == _NVIDIA_VENDOR for path in root.glob("sys/bus/pci/devices/*/vendor"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
