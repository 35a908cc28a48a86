from __future__ import annotations

import os
from pathlib import Path

import pytest

from lungsev.runtime.benchmark import load as load_module
from lungsev.runtime.benchmark.load import LoadWatch

TICK = os.sysconf("SC_CLK_TCK")


class Machine:
    """A `/proc` whose counters grow when time passes; time is what `pause` and `work` say."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, load: float = 0.1) -> None:
        self.root, self.now = root, 1000.0
        self.busy = {0: 0.0, 1: 0.0}
        self.stolen = 0.0
        self.processes = {os.getpid(): ["lungsev-run", 1, 0.0, 0.0], 7: ["other (job)", 1, 0.0, 0.0]}
        (root / "proc").mkdir(exist_ok=True)
        (root / "proc/loadavg").write_text(f"{load} 0.2 0.3 1/99 1234\n")
        monkeypatch.setattr(load_module.time, "monotonic", lambda: self.now)
        self.write()

    def write(self) -> None:
        lines = []
        for cpu, busy in self.busy.items():
            columns = [busy, 0, 0, self.now, 0, 0, 0, self.stolen, 0, 0]
            lines.append(f"cpu{cpu} " + " ".join(str(round(value * TICK)) for value in columns))
        (self.root / "proc/stat").write_text("cpu 1 2 3\n" + "\n".join(lines) + "\nintr 5\n")
        for pid, (name, parent, own, reaped) in self.processes.items():
            folder = self.root / "proc" / str(pid)
            folder.mkdir(exist_ok=True)
            times = f"{round(own * TICK)} 0 {round(reaped * TICK)} 0"
            (folder / "stat").write_text(f"{pid} ({name}) S {parent} " + "0 " * 9 + times + " 20 0 1\n")

    def spend(self, seconds: float, own: float = 0.0, child: float = 0.0, other: float = 0.0) -> None:
        self.now += seconds
        self.processes[os.getpid()][2] += own
        self.processes[os.getpid()][3] += child
        self.processes[7][2] += other
        self.busy[0] += own + child + other
        self.write()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_quiet_machine_gives_no_warning_however_much_the_bench_itself_does(machine: Machine) -> None:
    watch = LoadWatch({0, 1}, machine.root, pause=lambda seconds: machine.spend(1.0))
    machine.processes[99] = ["reader", os.getpid(), 0.0, 0.0]
    machine.spend(10.0, own=8.0, child=3.0)
    machine.processes[99][2] += 4.0
    machine.busy[1] += 4.0
    machine.write()
    load = watch.finish()
    assert (load.others_before, load.others_during, load.steal_share) == (0.0, 0.0, 0.0)
    assert load.warnings == ()
    assert load.busiest == {}


def test_others_before_and_during_the_runs_are_counted_and_the_busiest_is_named(machine: Machine) -> None:
    watch = LoadWatch({0, 1}, machine.root, pause=lambda seconds: machine.spend(1.0, other=0.5))
    machine.spend(10.0, own=5.0, other=8.0)
    load = watch.finish()
    assert (load.others_before, load.others_during) == (0.5, 0.8)
    assert load.busiest == {"other (job)": 0.8}
    (warning,) = load.warnings
    assert "0.50 of 2 CPUs busy before the runs and 0.80 during them (other (job) 0.80)" in warning


def test_cpus_that_this_process_may_not_use_do_not_count(machine: Machine) -> None:
    watch = LoadWatch({1}, machine.root, pause=lambda seconds: machine.spend(1.0, other=1.0))
    machine.spend(10.0, other=10.0)
    assert watch.finish().others_during == 0.0


def test_a_host_that_takes_time_is_said(machine: Machine) -> None:
    watch = LoadWatch({0, 1}, machine.root, pause=lambda seconds: machine.spend(1.0))
    machine.stolen += 1.0  # on each of two CPUs
    machine.spend(10.0)
    load = watch.finish()
    assert load.steal_share == pytest.approx(0.1)
    assert load.warnings == ("the host of this virtual machine took 10% of the CPUs' time",)


def test_the_load_of_the_minute_before_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path, monkeypatch, load=1.5)
    load = LoadWatch({0, 1}, machine.root, pause=lambda seconds: machine.spend(1.0)).finish()
    assert load.load_average_before == 1.5
    assert load.warnings == ("the load average of the minute before was 1.5 on 2 CPUs",)


def test_a_machine_that_tells_nothing_is_no_quiet_one(tmp_path: Path) -> None:
    load = LoadWatch({0}, tmp_path, pause=lambda seconds: None).finish()
    assert (load.others_before, load.others_during, load.steal_share) == (None, None, None)
    assert "is not told" in load.warnings[0]


def test_this_machine_is_read() -> None:
    load = LoadWatch().finish()
    assert load.cpus == len(os.sched_getaffinity(0))
    assert load.others_during is None or load.others_during >= 0
