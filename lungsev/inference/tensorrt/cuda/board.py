"""The board of an integrated GPU, as on a Jetson: its name and its free memory, which CUDA does not tell.

Every Orin names its GPU "Orin", and CUDA's free memory leaves out what the kernel would give back from its caches.
"""

from __future__ import annotations

from pathlib import Path


def board_name(root: Path = Path("/")) -> str | None:
    """Return e.g. "NVIDIA Jetson Orin Nano Developer Kit"; None where the device tree names no board."""
    try:
        text = (root / "proc/device-tree/model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.strip("\0 \n") or None


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that a program can have without swapping (proc(5), MemAvailable); None where it is unknown."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
