"""Number of threads for inference: threads beyond the physical cores double the latency of a dense network."""

from __future__ import annotations

import math
import os
from pathlib import Path


def usable_cores(topology: Path = Path("/sys/devices/system/cpu"), quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Count the physical cores that this process may use, by its CPU affinity and its container's limit.

    Args:
        topology: Folder in which Linux lists each CPU's core; hyper-threads of a core count once.
        quota: The control group's "<microseconds> <period>" file.
    """
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # not Linux
        allowed = set(range(os.cpu_count() or 1))
    cores = {_core_of(topology, cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota_cores(quota)))


def _core_of(topology: Path, cpu: int) -> str:
    try:
        return (topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return str(cpu)


def _quota_cores(quota: Path) -> int:
    try:
        limit, period = quota.read_text(encoding="ascii").split()
        return 1 << 16 if limit == "max" else math.ceil(int(limit) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return 1 << 16
