"""Load of the machine by others: before and during a measurement, from Linux's own counters.

A figure that was taken beside other work says little, so the result says how much of it there was.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

QUIET_SECONDS = 1.0
_WARN_CPU_SHARE = 0.05  # of the usable CPUs, by other processes
_WARN_STEAL_SHARE = 0.02  # of the time, by the host of a virtual machine
_WARN_LOAD_SHARE = 0.5  # processes that wait or run, for each usable CPU
_NAMED = 3
_IDLE_COLUMNS = (3, 4)  # idle, iowait
_STEAL_COLUMN = 7
_GUEST_COLUMNS = 8  # those from here on are in user and nice already
_NOT_TOLD = "the load of this machine is not told (/proc/stat)"


@dataclass(frozen=True)
class MachineLoad:
    """What others did.

    Attributes:
        cpus: CPUs that this process may use.
        load_average_before, load_average_after: Mean number of processes that ran or waited in the last minute.
        others_before, others_during: CPUs that other processes kept busy, in a quiet second before and during the runs;
            None where the machine does not tell.
        steal_share: Of the time of the CPUs, taken by the host of a virtual machine while the runs lasted.
        busiest: Names of other processes and the CPUs each kept busy during the runs; those of other containers count
            in `others_during` and have no name here.
        warnings: Why the figures are to be taken with care; empty on a quiet machine.
    """

    cpus: int
    load_average_before: float
    load_average_after: float
    others_before: float | None
    others_during: float | None
    steal_share: float | None
    busiest: dict[str, float]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Counters:
    """Seconds since the start of the machine, at a moment."""

    moment: float
    busy: float | None
    stolen: float
    own: float
    others: dict[tuple[int, str], float]


class LoadWatch:
    """Watches the machine from its making to `finish`.

    Args:
        cpus: Numbers of the CPUs that this process may use; None asks the system.
        root: Of the file system in which Linux describes itself.
        pause: For tests.
    """

    def __init__(
        self, cpus: Iterable[int] | None = None, root: Path = Path("/"), pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._cpus = frozenset(os.sched_getaffinity(0) if cpus is None else cpus)
        self._proc = root / "proc"
        self._load_before = _load_average(self._proc)
        first = self.mark()
        pause(QUIET_SECONDS)
        self._start = self.mark()
        self._before = self.others_between(first, self._start)

    def finish(self) -> MachineLoad:
        """Return what others did since the start."""
        end = self.mark()
        during = self.others_between(self._start, end)
        seconds = max(1e-6, end.moment - self._start.moment)
        steal = (end.stolen - self._start.stolen) / seconds / len(self._cpus) if end.busy is not None else None
        gained = {key: (spent - self._start.others.get(key, 0.0)) / seconds for key, spent in end.others.items()}
        busiest: dict[str, float] = {}
        for (_, name), cpus in sorted(gained.items(), key=lambda item: -item[1]):
            if cpus >= 0.05 and len(busiest) < _NAMED:
                busiest[name] = round(busiest.get(name, 0.0) + cpus, 2)
        load = MachineLoad(
            len(self._cpus), self._load_before, _load_average(self._proc), self._before, during,
            None if steal is None else round(max(0.0, steal), 4), busiest, (),
        )  # fmt: skip
        return replace(load, warnings=tuple(_warnings(load)))

    def others_between(self, start: Counters, end: Counters) -> float | None:
        """Return how many CPUs other processes kept busy between two moments; None where the machine does not tell."""
        if start.busy is None or end.busy is None:
            return None
        spent = (end.busy - start.busy) - (end.own - start.own)
        return round(max(0.0, spent / max(1e-6, end.moment - start.moment)), 2)

    def mark(self) -> Counters:
        """Return the counters of this moment."""
        tick = os.sysconf("SC_CLK_TCK")
        busy, stolen = _cpu_seconds(self._proc / "stat", self._cpus, tick)
        processes = _processes(self._proc, tick)
        family = _family(os.getpid(), {pid: parent for pid, (_, parent, _, _) in processes.items()})
        own = sum(spent + reaped for pid, (_, _, spent, reaped) in processes.items() if pid in family)
        others = {(pid, name): spent for pid, (name, _, spent, _) in processes.items() if pid not in family}
        return Counters(time.monotonic(), busy, stolen, own, others)


def _warnings(load: MachineLoad) -> Iterable[str]:
    if load.others_during is None or load.others_before is None:
        yield _NOT_TOLD
    elif max(load.others_before, load.others_during) > _WARN_CPU_SHARE * load.cpus:
        names = ", ".join(f"{name} {cpus:.2f}" for name, cpus in load.busiest.items())
        yield (
            f"other processes kept {load.others_before:.2f} of {load.cpus} CPUs busy before the runs and "
            f"{load.others_during:.2f} during them" + (f" ({names})" if names else "")
        )
    if load.load_average_before > _WARN_LOAD_SHARE * load.cpus:
        yield f"the load average of the minute before was {load.load_average_before:.1f} on {load.cpus} CPUs"
    if load.steal_share is not None and load.steal_share > _WARN_STEAL_SHARE:
        yield f"the host of this virtual machine took {load.steal_share:.0%} of the CPUs' time"


def _load_average(proc: Path) -> float:
    try:
        return float((proc / "loadavg").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return round(os.getloadavg()[0], 2)


def _cpu_seconds(stat: Path, cpus: frozenset[int], tick: int) -> tuple[float | None, float]:
    """Busy and stolen seconds of the usable CPUs (proc_stat(5)); busy is None where they are not counted."""
    busy = stolen = 0.0
    seen = False
    try:
        lines = stat.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, *columns = line.split()
        if not name.startswith("cpu") or not name[3:].isdigit() or int(name[3:]) not in cpus:
            continue
        values = [int(value) / tick for value in columns[:_GUEST_COLUMNS]]
        idle = sum(values[column] for column in _IDLE_COLUMNS)
        steal = values[_STEAL_COLUMN] if len(values) > _STEAL_COLUMN else 0.0
        seen = seen or sum(values) > 0
        stolen += steal
        busy += sum(values) - idle - steal
    return (busy if seen else None), stolen


def _processes(proc: Path, tick: int) -> dict[int, tuple[str, int, float, float]]:
    """Process id to name, parent, seconds of its own and of its children that have ended (proc_pid_stat(5))."""
    found = {}
    for path in proc.glob("[0-9]*/stat"):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
            name, _, rest = text.partition("(")[2].rpartition(")")
            fields = rest.split()
            user, system, reaped_user, reaped_system = (int(value) / tick for value in fields[11:15])
            found[int(path.parent.name)] = (name, int(fields[1]), user + system, reaped_user + reaped_system)
        except (OSError, ValueError, IndexError):  # it has ended in the meantime
            continue
    return found


def _family(root: int, parents: dict[int, int]) -> frozenset[int]:
    """A process and all below it."""
    family = {root}
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return frozenset(family)
