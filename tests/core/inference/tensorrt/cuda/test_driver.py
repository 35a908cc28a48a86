"""Both bindings keep the contract, on stand-ins for a card and for a Jetson."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from driver_contract import DriverContract
from fake_cuda import FakeDevice, bindings, pycuda

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.cuda import CudaDriver
from lungsev.inference.tensorrt.cuda import driver as driver_module

OPENERS = {"cuda-bindings": bindings, "pycuda": pycuda}
Opener = Callable[[FakeDevice], Callable[[], CudaDriver]]


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest) -> Opener:
    return OPENERS[request.param]


@pytest.mark.parametrize("integrated", [False, True], ids=["card", "jetson"])
class TestContract(DriverContract):
    @pytest.fixture
    def driver(self, opener: Opener, integrated: bool) -> Iterator[CudaDriver]:
        device = FakeDevice(integrated)
        opened = opener(device)()
        yield opened
        opened.close()
        assert device.is_clean


def test_a_jetson_is_named_by_its_board_and_has_the_memory_that_the_kernel_would_free(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "board_name", lambda: "NVIDIA Jetson Orin Nano")
    monkeypatch.setattr(driver_module, "available_memory_bytes", lambda: 5 << 30)
    info = opener(FakeDevice(integrated=True, name="Orin"))().info
    assert (info.name, info.free_bytes) == ("NVIDIA Jetson Orin Nano", 5 << 30)
    info = opener(FakeDevice(name="NVIDIA T4"))().info
    assert (info.name, info.free_bytes) == ("NVIDIA T4", 2 << 30)


def test_what_the_system_does_not_tell_is_what_cuda_says(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("board_name", "available_memory_bytes"):
        monkeypatch.setattr(driver_module, name, lambda: None)
    info = opener(FakeDevice(integrated=True, name="Orin"))().info
    assert (info.name, info.free_bytes) == ("Orin", 2 << 30)


def test_no_device_and_no_memory_are_explained(opener: Opener) -> None:
    device = FakeDevice()
    device.fail["cuInit"] = 100
    with pytest.raises(BackendError, match=r"no NVIDIA GPU|gives no device"):
        opener(device)()
    device = FakeDevice()
    device.fail.update(cuMemAlloc=2, mem_alloc=2)
    opened: Any = opener(device)()
    with pytest.raises(BackendError, match="out of memory"):
        opened.allocate(8)
    opened.close()
    assert device.is_clean
