"""The command builds in a child process, says what it does, and describes the engine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from fake_gpu_child import FakeGpu, make_gpu, preload, use_gpu
from typer.testing import CliRunner

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.tensorrt import command, device_client, hardware
from lungsev.inference.tensorrt.progress import Progress

preload()
app = typer.Typer()
app.command()(command.engine)


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    """A stand-in for a GPU with TensorRT."""
    return make_gpu(tmp_path, monkeypatch)


def test_the_engine_is_built_compared_and_described(gpu: FakeGpu, tiny_bundle: Bundle, tmp_path: Path) -> None:
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


def test_the_bundle_may_be_named_by_an_option_but_not_twice(gpu: FakeGpu, tiny_bundle: Bundle, tmp_path: Path) -> None:
    named = ["--bundle", str(tiny_bundle.path), "--out", str(tmp_path)]
    assert CliRunner().invoke(app, named).exit_code == 0
    assert len(list(tmp_path.glob("*.plan"))) == 1
    twice = CliRunner().invoke(app, [str(tiny_bundle.path), *named])
    assert twice.exit_code == 2


def test_a_precision_that_does_not_exist_is_a_usage_error(tiny_bundle: Bundle) -> None:
    assert CliRunner().invoke(app, [str(tiny_bundle.path), "--precision", "int8"]).exit_code == 2


def test_out_of_memory_names_an_option_of_this_command(
    gpu: FakeGpu, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(
        FakeGpu(gpu.folder, library={"build_error": "Error Code 2: OutOfMemory (Requested size was 99)"}), monkeypatch
    )
    arguments = [str(tiny_bundle.path), "--out", str(tmp_path), "--workspace-mib", "64"]
    with pytest.raises(BackendError, match="out of memory with a workspace of 64 MiB") as caught:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    (advised,) = re.findall(r"--[a-z-]+", str(caught.value))
    options = {option for parameter in typer.main.get_command(app).params for option in parameter.opts}
    assert advised in options


@pytest.mark.faults
def test_a_build_that_dies_says_what_to_do(
    gpu: FakeGpu, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_gpu(gpu.with_fault("build", "killed"), monkeypatch)
    with pytest.raises(BackendError, match=r"SIGKILL while building the engine; lower --workspace-mib .*on the CPU"):
        CliRunner().invoke(app, [str(tiny_bundle.path), "--out", str(tmp_path)], catch_exceptions=False)


def test_the_settings_file_of_the_bedside_decides_what_no_option_does(
    gpu: FakeGpu, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "bedside.yaml"
    config.write_text(f"model: {{bundle: {tiny_bundle.path}, engine: {{cache: {tmp_path / 'own'}, level: 2}}}}\n")
    result = CliRunner().invoke(app, ["--config", str(config), "--json"], catch_exceptions=False)
    side = Path(json.loads(result.stdout)["engine"]).with_suffix(".json")
    assert side.parent == tmp_path / "own"
    assert json.loads(side.read_text())["key"]["optimisation_level"] == 2


@pytest.mark.faults
def test_a_machine_that_only_builds_takes_the_capability_of_the_settings_file(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Path]] = []

    def note(_bundle: Bundle, capability: str, folder: Path, *_more: Any) -> dict[str, Any]:
        asked.append((capability, folder))
        raise BackendError("as far as this test goes")

    monkeypatch.setattr(device_client, "build_ahead_in_child", note)
    monkeypatch.setattr(hardware, "has_nvidia_gpu", lambda: False)
    config = tmp_path / "bedside.yaml"
    config.write_text('model: {engine: {capability: "8.9"}}\n')
    with pytest.raises(BackendError):
        CliRunner().invoke(app, [str(tiny_bundle.path), "--config", str(config)], catch_exceptions=False)
    assert asked == [("8.9", Path("engines"))]


def test_progress_is_a_line_for_what_is_new_where_nobody_watches() -> None:
    said: list[str] = []
    show: Progress = command._plain_lines(said.append)
    for phase, share in (("tactics", 0.0), ("tactics", 0.04), ("tactics", 0.12), ("weights", 0.15), ("weights", 1.0)):
        show(phase, share)
    assert said == [
        f"building the engine: {done}" for done in ("0% (tactics)", "12% (tactics)", "15% (weights)", "100% (weights)")
    ]
