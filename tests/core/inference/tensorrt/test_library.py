"""TensorRT is described by its attributes, and a missing one by how to install it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_cuda import FakeDevice
from fake_tensorrt import library_of, make_fake_tensorrt

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.library import describe_library, missing_message


def test_a_placeholder_from_pypi_is_recognised() -> None:
    with pytest.raises(BackendError, match="only a placeholder"):
        describe_library(SimpleNamespace(__version__="0.0.1"), "tensorrt")


def test_a_library_without_named_tensors_is_too_old() -> None:
    module = make_fake_tensorrt(FakeDevice(), version="8.2.1")
    module.IExecutionContext = SimpleNamespace()
    with pytest.raises(BackendError, match=r"8\.2\.1 is too old.*JetPack 6\.1"):
        library_of(module)


def test_strong_typing_is_told_by_attributes() -> None:
    module = make_fake_tensorrt(FakeDevice())
    assert library_of(module).strongly_typed
    module.NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0)
    assert not library_of(module).strongly_typed  # TensorRT 8
    module.BuilderFlag = SimpleNamespace()
    assert library_of(module).strongly_typed  # TensorRT 11


def test_a_venv_on_a_jetson_is_told_how_to_see_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python3.10" / "dist-packages" / "tensorrt").mkdir(parents=True)
    monkeypatch.setattr("sys.prefix", "/venv")
    assert "--system-site-packages" in missing_message(tmp_path / "none", tmp_path)


def test_a_jetson_without_it_is_told_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "nv_tegra_release").write_text("# R36")
    assert "python3-libnvinfer" in missing_message(tmp_path / "nv_tegra_release", tmp_path)


def test_a_workstation_is_told_where_it_comes_from(tmp_path: Path) -> None:
    message = missing_message(tmp_path / "none", tmp_path)
    assert "lungsev[rtx]" in message
    assert "lungsev[tensorrt]" in message
