from __future__ import annotations

from pathlib import Path

from lungsev.runtime.benchmark import machine as machine_module
from lungsev.runtime.benchmark.machine import describe_machine


def test_the_machine_is_described() -> None:
    machine = describe_machine()
    assert machine["cores"] >= 1
    assert machine["processor"]


def test_the_processor_is_named_by_its_name_and_not_by_its_number(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("model\t\t: 1\nmodel name\t: AMD EPYC\n")
    assert machine_module._processor(tmp_path / "cpuinfo") == "AMD EPYC"


def test_a_jetson_tells_its_power_mode_and_other_machines_have_none(tmp_path: Path) -> None:
    (tmp_path / "status").write_text("pmode:0002\n")
    assert machine_module._power_mode(tmp_path / "status") == "pmode:0002"
    assert machine_module._power_mode(tmp_path / "absent") is None
