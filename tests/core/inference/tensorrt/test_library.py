"""TensorRT is described by its attributes, and a missing one by how to install it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from fake_cuda import FakeDevice
from fake_tensorrt import library_of, make_fake_tensorrt

from lungsev.errors import BackendError
from lungsev.inference.tensorrt import library
from lungsev.inference.tensorrt.library import describe_library, load_tensorrt, missing_message


@pytest.mark.parametrize(
    "failure",
    [
        ImportError("libnvonnxparser.so.10: cannot open shared object file", name="tensorrt"),  # as the bindings say it
        ImportError("libnvinfer.so.10: version `X' not found", name="tensorrt.tensorrt"),  # as JetPack's do
        ModuleNotFoundError("No module named 'tensorrt_bindings'", name="tensorrt_bindings"),
        OSError("libcudart.so.12: file too short"),
        RuntimeError("the bindings are of another version"),
    ],
)
def test_one_that_is_installed_and_does_not_load_is_not_called_missing(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> NoReturn:
        raise failure if name == "tensorrt" else ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(library.importlib, "import_module", find)
    with pytest.raises(BackendError) as caught:
        load_tensorrt()
    assert f"tensorrt is installed but cannot be loaded ({failure})" in str(caught.value)


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
