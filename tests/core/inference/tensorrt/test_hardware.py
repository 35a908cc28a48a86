"""NVIDIA hardware is seen in the file system alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.inference.tensorrt.hardware import has_nvidia_gpu


@pytest.mark.parametrize("trace", ["dev/nvidiactl", "proc/driver/nvidia/version", "dev/dxg", "dev/nvhost-ctrl-gpu"])
def test_a_driver_or_its_devices_tell_of_a_gpu(tmp_path: Path, trace: str) -> None:
    assert not has_nvidia_gpu(tmp_path)
    (tmp_path / trace).parent.mkdir(parents=True)
    (tmp_path / trace).touch()
    assert has_nvidia_gpu(tmp_path)


def test_a_driver_where_libraries_are_looked_for_tells_of_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", f":{tmp_path / 'own'}")
    assert not has_nvidia_gpu(tmp_path)
    for folder in ("own", "usr/lib/wsl/lib"):
        library = tmp_path / folder / "libcuda.so.1"
        library.parent.mkdir(parents=True)
        library.touch()
        assert has_nvidia_gpu(tmp_path)
        library.unlink()


def test_a_card_without_a_driver_is_seen_on_the_bus(tmp_path: Path) -> None:
    for number, vendor in enumerate(("0x8086\n", "0x1002\n")):
        device = tmp_path / "sys/bus/pci/devices" / f"0000:0{number}:00.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor)
    assert not has_nvidia_gpu(tmp_path)
    (device / "vendor").write_text("0x10de\n")
    assert has_nvidia_gpu(tmp_path)
