"""The contract of CUDA bindings on the real pycuda or the real cuda-bindings, over the driver of `cuda_stub.c`.

Run by `cuda/test_pycuda.py` and `cuda/test_bindings.py` in a process of its own, whose library path has the stub as
`libcuda.so.1`. It has the calls that lungsev makes, so pycuda is loaded lazily.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from driver_contract import DriverContract

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.cuda import CudaBindingsDriver, CudaDriver, PycudaDriver
from lungsev.inference.tensorrt.cuda.opening import count_devices, open_driver

sys.setdlopenflags(os.RTLD_LAZY)
EXPECTED = {"pycuda": PycudaDriver, "cuda-bindings": CudaBindingsDriver}[os.environ["CUDA_BINDING"]]
STUB = ctypes.CDLL("libcuda.so.1", ctypes.RTLD_GLOBAL)
MEMORY = "illegal memory access|the GPU read outside its memory"


@pytest.fixture(params=[0, 1], ids=["card", "jetson"])
def integrated(request: pytest.FixtureRequest) -> int:
    STUB.stub_reset(request.param)
    return int(request.param)


class TestContract(DriverContract):
    @pytest.fixture
    def driver(self, integrated: int) -> Iterator[CudaDriver]:
        opened = open_driver()
        assert isinstance(opened, EXPECTED)
        yield opened
        opened.close()
        del opened
        assert STUB.stub_left() == 0


def test_the_driver_is_found_and_counted_without_a_context(integrated: int) -> None:
    assert count_devices() == 1
    assert STUB.stub_left() == 0


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ("cuInit", 100, "no CUDA-capable device|there is no NVIDIA GPU"),
        ("cuDevicePrimaryCtxRetain", 2, "out of memory"),
    ],
)
def test_a_driver_that_cannot_be_opened_is_told(call: str, code: int, message: str) -> None:
    STUB.stub_reset(0)
    STUB.stub_fail(call.encode(), code)
    with pytest.raises(BackendError, match=message):
        open_driver()


@pytest.mark.parametrize(
    ("call", "code", "act", "message"),
    [
        ("cuMemAlloc_v2", 2, lambda driver: driver.allocate(8), "out of memory"),
        ("cuMemAlloc_v2", 700, lambda driver: driver.allocate(8), MEMORY),
        ("cuMemHostAlloc", 2, lambda driver: driver.pinned((8,), np.float32), "out of memory"),
        ("cuStreamSynchronize", 700, lambda driver: driver.synchronise(), MEMORY),
        ("cuMemcpyHtoDAsync_v2", 700, lambda driver: driver.to_device(0, np.zeros(1)), MEMORY),
        ("cuMemcpyDtoHAsync_v2", 700, lambda driver: driver.to_host(np.zeros(1), 0), MEMORY),
    ],
)
def test_failures_of_the_binding_become_errors_of_the_backend(call: str, code: int, act: Any, message: str) -> None:
    STUB.stub_reset(0)
    driver = open_driver()
    STUB.stub_fail(call.encode(), code)
    with pytest.raises(BackendError, match=message):
        act(driver)
    STUB.stub_fail(call.encode(), 0)
    driver.close()
