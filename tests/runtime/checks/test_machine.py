from __future__ import annotations

import resource

import pytest

from lungsev.runtime.checks import machine
from lungsev.runtime.checks.machine import check_extras, check_gpu, check_memory, check_open_files
from lungsev.runtime.settings import BedsideSettings


def test_what_is_there_is_told() -> None:
    assert "MB free" in check_memory().found
    assert check_open_files().found == f"limit {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}"


def test_a_gpu_that_was_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from lungsev.errors import BackendError
    from lungsev.inference.tensorrt import cuda, library

    def missing() -> None:
        raise BackendError("install TensorRT")

    monkeypatch.setattr(library, "load_tensorrt", missing)
    monkeypatch.setattr(cuda, "count_devices", lambda: 0)
    assert check_gpu("auto").ok
    monkeypatch.setattr(cuda, "count_devices", lambda: 1)
    check = check_gpu("auto")
    assert (check.ok, check.advice) == (False, "install TensorRT")


def test_packages_of_what_is_switched_on_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    assert check_extras(BedsideSettings()).found == "none needed"
    settings = BedsideSettings.model_validate({"outputs": ["json", "dicom_sr"], "dashboard": {"enabled": True}})
    check = check_extras(settings)
    assert (check.ok, check.found) == (False, "missing: highdicom, fastapi")
