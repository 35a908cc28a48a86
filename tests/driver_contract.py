"""What every CUDA binding must do, on stand-ins (`tests/core/inference/tensorrt/cuda`) and on a card (`test_gpu`)."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.cuda import CudaDriver


class DriverContract:
    """Tests that take a fixture `driver`."""

    def test_it_knows_the_card(self, driver: CudaDriver) -> None:
        assert driver.info.name
        assert float(driver.info.compute_capability) >= 5
        assert float(driver.info.driver) >= 11
        assert driver.info.free_bytes > 64 << 20

    def test_what_goes_there_comes_back(self, driver: CudaDriver) -> None:
        sent, mapped = driver.pinned((3, 5), np.float32)
        back, _ = driver.pinned((3, 5), np.float32)
        sent[...] = np.arange(15).reshape(3, 5)
        back[...] = 0
        device = mapped or driver.allocate(sent.nbytes)
        driver.to_device(device, sent)
        driver.to_host(back, device)
        driver.synchronise()
        np.testing.assert_array_equal(back, sent)

    def test_a_recorded_graph_runs_on_what_the_buffers_hold_now(self, driver: CudaDriver) -> None:
        sent, _ = driver.pinned((1024,), np.float32)
        back, _ = driver.pinned((1024,), np.float32)
        device = driver.allocate(sent.nbytes)

        def there_and_back() -> None:
            driver.to_device(device, sent)
            driver.to_host(back, device)

        back[...] = -1
        graph = driver.capture(there_and_back)
        driver.synchronise()
        assert (back == -1).all(), "recording must not run"
        for value in (1.0, 2.0):
            sent[...] = value
            driver.launch(graph)
            driver.synchronise()
            assert (back == value).all()

    def test_a_failure_inside_a_recording_leaves_the_stream_usable(self, driver: CudaDriver) -> None:
        def fails() -> None:
            raise BackendError("on purpose")

        with pytest.raises(BackendError):
            driver.capture(fails)
        sent, _ = driver.pinned((4,), np.float32)
        driver.to_device(driver.allocate(sent.nbytes), sent)
        driver.synchronise()
