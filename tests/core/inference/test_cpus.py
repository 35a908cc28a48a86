"""One count of usable CPUs: affinity, physical cores, and the quota of any control group above the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lungsev.inference import cpus
from lungsev.inference.cpus import cpu_model, has_bfloat16, limit_thread_pools, usable_cpus

MOUNT_V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
MOUNT_V1 = "32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"


@pytest.fixture(autouse=True)
def _eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def system(root: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_limits_every_cpu_counts(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path) == 8
    assert usable_cpus(system(tmp_path, "0::/\n", MOUNT_V2, {"sys/fs/cgroup/cpu.max": "max 100000\n"})) == 8


def test_only_the_cpus_of_the_process_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 64})
    assert usable_cpus(tmp_path) == 3


def test_hyper_threads_of_a_core_count_once(tmp_path: Path) -> None:
    for cpu in range(8):
        topology = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    assert usable_cpus(tmp_path) == 4


@pytest.mark.parametrize(
    ("limit", "cpus"),
    [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1), ("9900000 100000", 8), ("broken", 8), ("1 0", 8)],
)
def test_the_quota_of_a_container_counts_rounded_up(tmp_path: Path, limit: str, cpus: int) -> None:
    assert usable_cpus(system(tmp_path, "0::/\n", MOUNT_V2, {"sys/fs/cgroup/cpu.max": limit})) == cpus


def test_the_quota_of_a_service_and_of_every_group_above_it_counts(tmp_path: Path) -> None:
    service = "sys/fs/cgroup/system.slice/lungsev-watch.service/cpu.max"
    root = system(tmp_path, "0::/system.slice/lungsev-watch.service\n", MOUNT_V2, {service: "300000 100000\n"})
    assert usable_cpus(root) == 3
    (root / "sys/fs/cgroup/system.slice/cpu.max").write_text("100000 50000\n")
    assert usable_cpus(root) == 2
    (root / "sys/fs/cgroup/elsewhere").mkdir()
    (root / "sys/fs/cgroup/elsewhere/cpu.max").write_text("100000 100000\n")
    assert usable_cpus(root) == 2


@pytest.mark.parametrize(
    ("name", "top", "folder"),
    [
        ("/batch/job-7", "/", "batch/job-7/"),  # a scheduler's group
        ("/docker/4f5a", "/docker/4f5a", ""),  # a container that has only its own group mounted
        ("/docker/4f5a", "/", ""),  # or, by a bind, its own group under the name of the top
    ],
)
def test_the_quota_of_version_1_counts(tmp_path: Path, name: str, top: str, folder: str) -> None:
    where = f"sys/fs/cgroup/cpu,cpuacct/{folder}"
    files = {f"{where}cpu.cfs_quota_us": "250000\n", f"{where}cpu.cfs_period_us": "100000\n"}
    groups = f"5:memory:/other\n4:cpu,cpuacct:{name}\n0::/unified\n"
    root = system(tmp_path, groups, MOUNT_V1.format(top=top), files)
    assert usable_cpus(root) == 3
    (root / f"{where}cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cpus(root) == 8


def test_a_system_that_describes_itself_wrongly_limits_nothing(tmp_path: Path) -> None:
    assert (
        usable_cpus(system(tmp_path, "\n:::\n0::/../../up\n4:cpu\n", "1 2\n - \n3 4 - cgroup2\n" + MOUNT_V2, {})) == 8
    )


def test_a_system_without_affinity_has_all_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cpus() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus() == 1


def test_pools_of_libraries_get_the_usable_cpus_where_nothing_else_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpus, "usable_cpus", lambda: 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("OPENCV_FOR_THREADS_NUM", raising=False)
    limit_thread_pools()
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OPENCV_FOR_THREADS_NUM"]) == ("1", "3")


@pytest.mark.parametrize("program", ["runtime", "train", "export"])
def test_every_program_limits_its_pools_before_opencv_is_loaded(program: str) -> None:
    code = f"""
import sys
from importlib import import_module
from lungsev.inference import cpus
cpus.usable_cpus = lambda: 5
sys.argv = ["lungsev", "--help"]
cli = import_module("lungsev.{program}.cli")
assert "cv2" not in sys.modules and "numpy" not in sys.modules
try:
    cli.main()
except SystemExit:
    pass
import cv2
assert cv2.getNumThreads() == 5, cv2.getNumThreads()
"""
    environment = {name: value for name, value in os.environ.items() if "THREADS" not in name}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(("flags", "expected"), [("fpu amx_bf16 avx", True), ("avx512_bf16", True), ("avx2", False)])
def test_bfloat16_and_the_model_are_read_from_the_processor_s_own_words(
    tmp_path: Path, flags: str, expected: bool
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor : 0\nmodel name : Fast 9000\nflags : {flags}\n")
    assert has_bfloat16(tmp_path) is expected
    assert cpu_model(tmp_path) == "Fast 9000"
    assert not has_bfloat16(tmp_path / "none")
    assert cpu_model(tmp_path / "none") == ""
