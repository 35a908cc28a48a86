"""As many threads as physical cores that the process may use."""

from __future__ import annotations

from pathlib import Path

from lungsev.inference.threads import usable_cores


def test_threads_are_physical_cores(tmp_path: Path) -> None:
    for cpu in range(512):
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text("0-511\n")
    assert usable_cores(tmp_path, tmp_path / "none") == 1


def test_a_container_s_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cores(tmp_path, tmp_path / "cpu.max") == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path, tmp_path / "cpu.max") == usable_cores(tmp_path, tmp_path / "none")
