"""The contract of CUDA bindings on the real pycuda, over the driver of `cuda_stub.c`. Run by `test_pycuda.py`.

The library path has the stub as `libcuda.so.1`, which must not reach other tests: hence a process of its own. It has
the calls that lungsev makes, so pycuda is loaded lazily.
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
from lungsev.inference.tensorrt.cuda import CudaDriver, PycudaDriver
from lungsev.inference.tensorrt.cuda.opening import count_devices, open_driver

sys.setdlopenflags(os.RTLD_LAZY)
STUB = ctypes.CDLL("libcuda.so.1", ctypes.RTLD_GLOBAL)


@pytest.fixture(params=[0, 1], ids=["card", "jetson"])
def integrated(request: pytest.FixtureRequest) -> int:
    STUB.stub_reset(request.param)
    return int(request.param)


class TestContract(DriverContract):
    @pytest.fixture
    def driver(self, integrated: int) -> Iterator[CudaDriver]:
        opened = open_driver()
        assert isinstance(opened, PycudaDriver)
        yield opened
        opened.close()
        del opened
        assert STUB.stub_left() == 0


def test_it_is_pycuda_that_was_loaded(integrated: int) -> None:
    import pycuda._driver

    assert pycuda._driver.__file__.endswith(".so")
    assert count_devices() == 1


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        ("cuInit", 100, "gives no device: .*no CUDA-capable device"),
        ("cuDevicePrimaryCtxRetain", 2, "gives no device: .*out of memory"),
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
        ("cuMemAlloc_v2", 700, lambda driver: driver.allocate(8), "mem_alloc failed: .*illegal memory access"),
        ("cuMemHostAlloc", 2, lambda driver: driver.pinned((8,), np.float32), "out of memory"),
        ("cuStreamSynchronize", 700, lambda driver: driver.synchronise(), "the GPU failed: .*illegal memory access"),
        ("cuMemcpyHtoDAsync_v2", 700, lambda driver: driver.to_device(0, np.zeros(1)), "memcpy_htod_async failed"),
        ("cuMemcpyDtoHAsync_v2", 700, lambda driver: driver.to_host(np.zeros(1), 0), "memcpy_dtoh_async failed"),
    ],
)
def test_failures_of_pycuda_become_errors_of_the_backend(call: str, code: int, act: Any, message: str) -> None:
    STUB.stub_reset(0)
    driver = open_driver()
    STUB.stub_fail(call.encode(), code)
    with pytest.raises(BackendError, match=message):
        act(driver)
    STUB.stub_fail(call.encode(), 0)
    driver.close()
