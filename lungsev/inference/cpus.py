"""CPUs that this process may use, by its affinity and its control groups; hyper-threads of a core count once."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_UNLIMITED = 1 << 16


def usable_cpus(root: Path = Path("/")) -> int:
    """Count the CPUs that this process may keep busy: the number of its threads, workers and processes together.

    It is the number of physical cores in the process's affinity (taskset, a scheduler, a container's cpuset), or the
    quota of its control groups where that is smaller. Threads beyond either take turns, and double the latency of a
    dense network.

    Args:
        root: Of the file system in which Linux describes itself, `/proc` and `/sys`.
    """
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
    cores = {_core_of(root / "sys/devices/system/cpu" / f"cpu{cpu}" / "topology", cpu) for cpu in allowed}
    return max(1, min(len(cores), math.ceil(_quota_cpus(root))))


def limit_thread_pools() -> None:
    """Give the pools of OpenCV, OpenBLAS, OpenMP and MKL in this process no more threads than it has CPUs.

    They read these variables when they are loaded, and on their own count a machine's CPUs rather than a container's
    quota. What is set already stays: OMP_NUM_THREADS=1 of a scheduler or of torchrun.
    """
    for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        os.environ.setdefault(name, str(usable_cpus()))
    # NumPy's products are small here, and threads of OpenBLAS go on waiting on the CPUs that the network needs next.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def has_bfloat16(root: Path = Path("/")) -> bool:
    """Return whether the processor multiplies bfloat16 matrices in hardware."""
    words = (_text_of(root / "proc/cpuinfo") or "").split()
    return "amx_bf16" in words or "avx512_bf16" in words


def cpu_model(root: Path = Path("/")) -> str:
    """Return the processor's name, e.g. `AMD EPYC`; empty where it is not told."""
    lines = (_text_of(root / "proc/cpuinfo") or "").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _core_of(topology: Path, cpu: int) -> str:
    return _text_of(topology / "thread_siblings_list") or str(cpu)


def _quota_cpus(root: Path) -> float:
    """The smallest quota of the process's control groups and of every group above them, in CPUs."""
    folders = set(_group_folders(root))
    return min((quota for folder in folders for quota in (_quota_v2(folder), _quota_v1(folder))), default=_UNLIMITED)


def _quota_v2(folder: Path) -> float:
    """`cpu.max` is "<microseconds> <period>" or "max <period>" (Linux, Documentation/admin-guide/cgroup-v2.rst)."""
    limit, _, period = (_text_of(folder / "cpu.max") or "max").partition(" ")
    return _ratio(limit, period or "100000")


def _quota_v1(folder: Path) -> float:
    """`cpu.cfs_quota_us` is -1 without a limit (Linux, Documentation/scheduler/sched-bwc.rst)."""
    return _ratio(_text_of(folder / "cpu.cfs_quota_us") or "", _text_of(folder / "cpu.cfs_period_us") or "")


def _ratio(limit: str, period: str) -> float:
    try:
        return int(limit) / int(period) if int(limit) > 0 and int(period) > 0 else _UNLIMITED
    except ValueError:  # "max", or a file that is not there
        return _UNLIMITED


def _group_folders(root: Path) -> Iterator[Path]:
    """Folders of the process's groups that can limit CPU time, version 1 and 2, each with those above it."""
    groups = dict(_groups(root))
    for hierarchy, mount_point, mounted_group in _mounts(root):
        group = groups.get(hierarchy)
        if group is None:
            continue
        yield root / mount_point.relative_to("/")
        # A container may see its groups' full names, and have only its own mounted.
        inside = group.relative_to(mounted_group) if group.is_relative_to(mounted_group) else group.relative_to("/")
        for part in (inside, *inside.parents):
            yield root / mount_point.relative_to("/") / part


def _groups(root: Path) -> Iterator[tuple[str, PurePosixPath]]:
    """The process's groups as (`cgroup2` or `cpu`, name), from lines `4:cpu,cpuacct:/name` and `0::/name`."""
    for line in (_text_of(root / "proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if not name.startswith("/") or ".." in PurePosixPath(name).parts:
            continue
        if number == "0" and not controllers:
            yield "cgroup2", PurePosixPath(name)
        elif "cpu" in controllers.split(","):
            yield "cpu", PurePosixPath(name)


def _mounts(root: Path) -> Iterator[tuple[str, PurePosixPath, PurePosixPath]]:
    """Mounted hierarchies as (`cgroup2` or `cpu`, mount point, group at its top); see proc_pid_mountinfo(5)."""
    for line in (_text_of(root / "proc/self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, *source) = before.split(), after.split() or [""]
        if len(fields) < 5 or not fields[3].startswith("/") or not fields[4].startswith("/"):
            continue
        if kind == "cgroup2":
            yield "cgroup2", PurePosixPath(fields[4]), PurePosixPath(fields[3])
        elif kind == "cgroup" and "cpu" in source[-1].split(","):
            yield "cpu", PurePosixPath(fields[4]), PurePosixPath(fields[3])


def _text_of(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None
