"""The board of an integrated GPU, as on a Jetson: its name. Every Orin calls its GPU "Orin" where CUDA is asked."""

from __future__ import annotations

from pathlib import Path


def board_name(root: Path = Path("/")) -> str | None:
    """Return e.g. "NVIDIA Jetson Orin Nano Developer Kit"; None where the device tree names no board."""
    try:
        text = (root / "proc/device-tree/model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.strip("\0 \n") or None
