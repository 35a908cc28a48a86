"""A folder for the hub holds all that it needs, gives the network's outputs, and its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from graded_runs import predictions
from tiny_bundle import tiny_graph, tiny_manifest, write_tiny_bundle

from lungsev.bundle.archive import Bundle, read_bundle, write_bundle
from lungsev.bundle.manifest import Provenance
from lungsev.errors import ConfigError
from lungsev.networks import load_network
from lungsev.phantom import make_phantom, write_phantom_dicom
from lungsev.train.evaluation.measurement import measure
from lungsev.train.sharing.hub import bundle_card, export_hub, upload_command


@pytest.fixture
def own_bundle(whole_run: Path, tmp_path: Path) -> Bundle:
    """The tiny bundle, as if it had been exported from the run."""
    provenance = Provenance(created_at="2026-01-01", run="brixia/one")
    return write_bundle(tmp_path / "b.zip", tiny_manifest(provenance=provenance), {"fp32": tiny_graph()}, "# card\n")


def run_code(card: str, part: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a block of code of a card in the folder of the card, which has an image."""
    write_phantom_dicom(make_phantom(4), folder / "image.dcm")
    monkeypatch.chdir(folder)
    exec(compile(re.findall(r"```python\n(.*?)```", card, re.S)[part], "card", "exec"), {})


def test_the_folder_of_a_run_gives_the_same_outputs_and_its_code_runs(
    whole_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = export_hub(whole_run, tmp_path / "out")
    assert sorted(path.name for path in folder.iterdir()) == [
        ".gitattributes",
        "LICENSE",
        "README.md",
        "config.json",
        "example.py",
        "model.safetensors",
    ]
    before, after = load_network(whole_run).state_dict(), load_network(folder).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    run_code((folder / "README.md").read_text(), 0, folder, monkeypatch)
    printed = capsys.readouterr().out
    assert printed.startswith("tensor([[")
    monkeypatch.setattr("sys.argv", ["example.py", "image.dcm"])
    script = folder / "example.py"
    exec(compile(script.read_text(), str(script), "exec"), {"__file__": str(script)})
    assert capsys.readouterr().out == printed
    assert "*.safetensors filter=lfs" in (folder / ".gitattributes").read_text()
    assert "Weights: CC BY-NC-SA 4.0" in (folder / "LICENSE").read_text()
    assert upload_command(folder) == f"hf upload USER/NAME {folder} ."


def test_a_bundle_of_the_run_is_shared_beside_the_network(whole_run: Path, own_bundle: Bundle, tmp_path: Path) -> None:
    folder = export_hub(whole_run, tmp_path / "out", own_bundle.path)
    assert read_bundle(folder / "bundle").sha256 == own_bundle.sha256
    card = (folder / "README.md").read_text()
    assert "license: apache-2.0" in card  # the bundle states it
    assert card.count("```python") == 2


def test_a_bundle_alone_is_shared_with_its_own_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "b.zip")
    folder = export_hub(bundle.path, tmp_path / "out", licence="CC BY 4.0")
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlanguage:\n- en\nlicense: cc-by-4.0\n")
    assert "\n# Tiny test model\n" in card
    assert not (folder / "config.json").exists()
    run_code(card, 0, folder, monkeypatch)
    assert "{'brixia': " in capsys.readouterr().out


def test_the_results_that_a_bundle_holds_are_those_of_the_front_matter(tmp_path: Path) -> None:
    accuracy, undefined = (measure(predictions(20, 1), name).to_dict() for name in ("accuracy", "interval_width"))
    metrics = {"results": {"test": {"measurements": [accuracy, undefined]}}}
    provenance = Provenance(created_at="2026-01-01", data=("images of a ward",))
    bundle = write_tiny_bundle(tmp_path / "b", metrics=metrics, provenance=provenance)
    (result,) = yaml.safe_load(bundle_card(bundle).split("---\n")[1])["model-index"][0]["results"]
    assert result["dataset"] == {"type": "unknown", "name": "images of a ward", "split": "test"}
    (metric,) = result["metrics"]  # what is not defined is not stated
    assert metric["value"] == pytest.approx(100 * accuracy["value"])
    assert metric["args"]["interval"] == pytest.approx([100 * end for end in accuracy["interval"]])


def test_a_bundle_of_another_run_is_refused(whole_run: Path, tmp_path: Path) -> None:
    other = write_tiny_bundle(tmp_path / "b")
    with pytest.raises(ConfigError, match="was exported from the run unknown, expected brixia/one"):
        export_hub(whole_run, tmp_path / "out", other.path)
    with pytest.raises(ConfigError, match="is a bundle already"):
        export_hub(other.path, tmp_path / "out", other.path)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_as_it_is(whole_run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists and is not empty"):
        export_hub(whole_run, tmp_path / "out")
    assert (tmp_path / "out/mine.txt").read_text() == "mine"


def test_a_run_of_several_trainings_names_one_of_them(whole_run: Path, tmp_path: Path) -> None:
    (whole_run / "network.pt").unlink()
    (whole_run / "metrics.json").write_text('{"folds": ["fold-0", "fold-1"]}')
    with pytest.raises(ConfigError, match=r"holds 2 trainings and no network of its own; give one: .*/fold-0"):
        export_hub(whole_run, tmp_path / "out")
    (whole_run / "metrics.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"has no network\.pt"):
        export_hub(whole_run, tmp_path / "out")
