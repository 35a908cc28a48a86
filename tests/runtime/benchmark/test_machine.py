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


def test_a_jetson_tells_its_power_mode_by_name_and_other_machines_have_none(tmp_path: Path) -> None:
    assert machine_module._power_mode(tmp_path) is None
    status, modes = tmp_path / "var/lib/nvpmodel/status", tmp_path / "etc/nvpmodel.conf"
    for path in (status, modes):
        path.parent.mkdir(parents=True)
    status.write_text("pmode:0002\n")
    assert machine_module._power_mode(tmp_path) == "pmode:0002"
    modes.write_text("< PM_CONFIG DEFAULT=2 >\n< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n")
    assert machine_module._power_mode(tmp_path) == "MAXN_SUPER (2)"
    status.write_text("pmode:0007\n")
    assert machine_module._power_mode(tmp_path) == "pmode:0007"
