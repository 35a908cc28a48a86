from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import typer
from fake_cuda import FakeCudaBindings, FakeDevice
from fake_tensorrt import make_fake_tensorrt
from typer.testing import CliRunner

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.parity import parity_cases
from lungsev.inference.tensorrt import build, command, prepare
from lungsev.inference.tensorrt import engine as engine_module
from lungsev.inference.tensorrt.cuda import CudaBindingsDriver
from lungsev.inference.tensorrt.library import describe_library

app = typer.Typer()
app.command()(command.engine)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    """A stand-in for a GPU with TensorRT; the engine is compared on one image."""
    device = FakeDevice()
    cases = list(islice(parity_cases(512), 1))
    monkeypatch.setattr(
        engine_module, "load_tensorrt", lambda: describe_library(make_fake_tensorrt(device), "tensorrt")
    )
    monkeypatch.setattr(engine_module, "open_first_device", lambda: CudaBindingsDriver(FakeCudaBindings(device)))
    monkeypatch.setattr(prepare, "parity_cases", lambda size_px: iter(cases))
    return device


def test_the_engine_is_built_compared_and_described(device: FakeDevice, tiny_bundle: Bundle, tmp_path: Path) -> None:
    arguments = [str(tiny_bundle.path), "--out", str(tmp_path / "engines")]
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    document: dict[str, Any] = json.loads(result.stdout)
    assert Path(document["engine"]).parent == tmp_path / "engines"
    assert Path(document["engine"]).stat().st_size == document["bytes"]
    assert document["device"] == "Fake GPU"
    assert document["parity"] is not None
    again = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert again.stdout.startswith(f"{document['engine']}: fp32 for Fake GPU, ")
    assert again.stdout.rstrip().endswith(", compared")


def test_the_bundle_may_be_named_by_an_option_but_not_twice(
    device: FakeDevice, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    named = ["--bundle", str(tiny_bundle.path), "--out", str(tmp_path)]
    assert CliRunner().invoke(app, named).exit_code == 0
    assert len(list(tmp_path.glob("*.plan"))) == 1
    twice = CliRunner().invoke(app, [str(tiny_bundle.path), *named])
    assert twice.exit_code == 2


def test_a_precision_that_does_not_exist_is_a_usage_error(tiny_bundle: Bundle) -> None:
    assert CliRunner().invoke(app, [str(tiny_bundle.path), "--precision", "int8"]).exit_code == 2


def test_out_of_memory_names_an_option_of_this_command(
    device: FakeDevice, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = make_fake_tensorrt(device, build_error="Error Code 2: OutOfMemory (Requested size was 99)")
    monkeypatch.setattr(engine_module, "load_tensorrt", lambda: describe_library(broken, "tensorrt"))
    with pytest.raises(BackendError, match="out of memory with a workspace of 64 MiB") as caught:
        CliRunner().invoke(
            app,
            [str(tiny_bundle.path), "--out", str(tmp_path), "--workspace-mib", "64"],
            catch_exceptions=False,
        )
    (advised,) = re.findall(r"--[a-z-]+", str(caught.value))
    options = {option for parameter in typer.main.get_command(app).params for option in parameter.opts}
    assert advised in options


def test_progress_is_a_line_for_each_tenth_where_nobody_watches() -> None:
    said: list[str] = []
    show: build.Progress = command._plain_lines(said.append)
    for phase, share in (("tactics", 0.0), ("tactics", 0.04), ("tactics", 0.12), ("weights", 0.12)):
        show(phase, share)
    assert said == ["tactics: 0%", "tactics: 12%", "weights: 12%"]
