"""What cuda-bindings do without a driver, and with one for another CUDA; every function of ours in the real ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cuda_stub import run_contract
from fake_cuda import FakeCudaBindings, FakeDevice

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.cuda import CudaBindingsDriver, count_devices
from lungsev.inference.tensorrt.cuda import bindings as bindings_module


def test_a_library_that_is_missing_or_older_is_explained() -> None:
    class Bindings(FakeCudaBindings):
        def _cuInit(self, _flags: int) -> None:
            raise RuntimeError('Function "cuInit" not found')

    with pytest.raises(BackendError, match=r"cuInit cannot be called \(Function .* not found\).*cuda-bindings<13"):
        CudaBindingsDriver(Bindings(FakeDevice()))


@pytest.mark.parametrize(("made_for", "driver", "warns"), [("13.5.0", 12060, True), ("12.9.10", 13000, False)])
def test_bindings_of_a_newer_cuda_than_the_driver_s_are_told(
    made_for: str, driver: int, warns: bool, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", SimpleNamespace(__version__=made_for))
    CudaBindingsDriver(FakeCudaBindings(FakeDevice(driver=driver))).close()
    assert ("pip install 'cuda-bindings<13'" in caplog.text) is warns


def test_the_real_bindings_have_every_function_and_refuse_without_a_driver() -> None:
    cuda = pytest.importorskip("cuda.bindings.driver", reason="pip install cuda-bindings", exc_type=ImportError)
    functions = re.findall(r'"(cu[A-Z]\w+)"', Path(bindings_module.__file__).read_text(encoding="utf-8"))
    assert len(set(functions)) > 20
    assert [name for name in functions if not hasattr(cuda, name)] == []
    if count_devices() == 0:
        with pytest.raises(BackendError, match=r"cannot be called|CUDA error"):
            CudaBindingsDriver(cuda)


@pytest.mark.slow
def test_the_real_cuda_bindings_keep_the_contract(tmp_path: Path) -> None:
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings are not installed", exc_type=ImportError)
    run_contract(tmp_path, "cuda-bindings")
