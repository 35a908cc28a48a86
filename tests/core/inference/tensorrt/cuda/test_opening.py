"""pycuda is taken where it is installed; one that cannot be loaded is told, and cuda-bindings take its place."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import pytest

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.cuda import opening

Outcome = Exception | str


def install(monkeypatch: pytest.MonkeyPatch, **modules: Outcome) -> None:
    """`pycuda` and `bindings`: a name to find, or the error of importing it; what is left out is not installed."""

    def find(name: str) -> Any:
        outcome = modules.get("pycuda" if name == "pycuda.driver" else "bindings", ModuleNotFoundError(name))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(opening, "importlib", SimpleNamespace(import_module=find))
    monkeypatch.setattr(opening, "PycudaDriver", lambda module: f"pycuda on {module}")
    monkeypatch.setattr(opening, "CudaBindingsDriver", lambda module: f"cuda-bindings on {module}")


def test_pycuda_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, pycuda="a", bindings="b")
    assert opening.open_driver() == "pycuda on a"
    install(monkeypatch, bindings="b")
    assert opening.open_driver() == "cuda-bindings on b"


def test_pycuda_of_another_cuda_is_told_and_replaced(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    broken = ImportError("libcurand.so.11: cannot open shared object file")
    install(monkeypatch, pycuda=broken, bindings="b")
    assert opening.open_driver() == "cuda-bindings on b"
    assert "pycuda is installed but cannot be loaded (libcurand.so.11" in caplog.text
    install(monkeypatch, pycuda=broken)
    with pytest.raises(BackendError, match=r"pycuda is installed but cannot be loaded \(libcurand"):
        opening.open_driver()


def test_without_either_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(BackendError, match=r'"lungsev\[pycuda\]" or "lungsev\[tensorrt\]"'):
        opening.open_driver()


def test_a_machine_without_the_driver_has_no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(opening.ctypes, "CDLL", missing)
    assert opening.count_devices() == 0
    assert importlib.import_module("lungsev.inference.tensorrt.cuda").count_devices() == 0
