from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import numpy_helper
from tiny_bundle import tiny_graph, tiny_manifest, write_tiny_bundle

from lungsev.bundle.archive import Bundle, pack_bundle, read_bundle, verify_bundle, write_bundle
from lungsev.errors import BundleError


@pytest.fixture
def folder(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may damage."""
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))


def reseal(folder: Path) -> None:
    """Write checksums that fit the files again, as a careful forger would."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
        if file.name != "SHA256SUMS"
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


def test_a_bundle_reads_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = tiny_manifest(("brixia", "inha"), metrics={"brixia": {"mae": 0.5}})
    graph = tiny_graph(("brixia", "inha"))
    written = write_bundle(tmp_path / "b", manifest, {"fp32": graph}, "# card", {"LICENSE": b"terms"})
    read = read_bundle(tmp_path / "b")
    assert read.manifest == manifest
    assert read.graph_bytes() == graph
    assert read.file_bytes("LICENSE") == b"terms"
    assert read.has_file("LICENSE")
    assert not read.has_file("parity.json")
    assert read.sha256 == written.sha256 == hashlib.sha256((tmp_path / "b" / "SHA256SUMS").read_bytes()).hexdigest()


def test_folder_and_zip_are_the_same_bundle(tmp_path: Path, tiny_bundle: Bundle) -> None:
    zipped = write_tiny_bundle(tmp_path / "b.zip")
    assert zipped.sha256 == tiny_bundle.sha256
    assert zipped.manifest == tiny_bundle.manifest


def test_the_same_parts_give_the_same_zip(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "a.zip")
    write_tiny_bundle(tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_verify_lists_what_was_checked(tiny_bundle: Bundle) -> None:
    checks = verify_bundle(tiny_bundle.path)
    assert [check.name for check in checks] == [
        "files",
        "checksums",
        "signature",
        "manifest",
        "preprocessing",
        "model.onnx",
    ]
    assert all(check.passed for check in checks)


@pytest.mark.parametrize("name", ["manifest.yaml", "model.onnx", "card.md"])
def test_a_changed_file_is_named(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name} was changed or damaged"):
        read_bundle(folder)
    failed = verify_bundle(folder)[-1]
    assert not failed.passed
    assert failed.name == "checksums"


@pytest.mark.parametrize("name", ["manifest.yaml", "model.onnx", "card.md", "SHA256SUMS"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} missing"):
        read_bundle(folder)


def test_a_foreign_file_is_refused(folder: Path) -> None:
    (folder / "weights.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(BundleError, match=r"weights\.pkl"):
        read_bundle(folder)


def test_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes((folder / "model.onnx").read_bytes())
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="no plain file"):
        read_bundle(folder)


def edit_manifest(folder: Path, change: Callable[[dict], None]) -> None:
    document = yaml.safe_load((folder / "manifest.yaml").read_text())
    change(document)
    (folder / "manifest.yaml").write_text(yaml.safe_dump(document))
    reseal(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format_version=2), "format version 2"),
        (lambda m: m.update(preprocessing_version="0"), "preprocessing version '0'"),
        (lambda m: m.update(colour="red"), "colour: Extra inputs"),
        (lambda m: m.pop("licence"), "licence: Field required"),
        (lambda m: m["outputs"].pop(0), "output lung_mask must have shape"),
        (lambda m: m.update(mask_size_px=128), "output lung_mask must have shape"),
        (lambda m: m.update(calibration={"ralo": {}}), "calibration is given for"),
        (lambda m: m["schemes"].append(m["schemes"][0]), "schemes must differ"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_with_its_reason(
    folder: Path, change: Callable[[dict], None], message: str
) -> None:
    edit_manifest(folder, change)
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


def test_yaml_that_makes_objects_is_refused(folder: Path) -> None:
    (folder / "manifest.yaml").write_text("!!python/object/apply:os.system ['true']")
    reseal(folder)
    with pytest.raises(BundleError, match="not valid YAML"):
        read_bundle(folder)


def test_weights_outside_the_graph_are_refused(folder: Path) -> None:
    model = onnx.load_from_string((folder / "model.onnx").read_bytes())
    weight = model.graph.initializer[0]
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    reseal(folder)
    with pytest.raises(BundleError, match="weights outside the file"):
        read_bundle(folder)


def test_a_weight_that_is_nan_is_refused_by_name(folder: Path) -> None:
    model = onnx.load_from_string((folder / "model.onnx").read_bytes())
    weight = next(tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
    weight.CopyFrom(numpy_helper.from_array(np.full(weight.dims, np.nan, np.float32), weight.name))
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    reseal(folder)
    with pytest.raises(BundleError, match=f"weight {weight.name} holds NaN"):
        read_bundle(folder)


@pytest.mark.parametrize("keep", [0, 1, 1000, -1])
def test_a_graph_that_is_cut_off_is_refused(folder: Path, keep: int) -> None:
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:keep])
    reseal(folder)
    with pytest.raises(BundleError, match="graph"):
        read_bundle(folder)


def test_a_graph_of_another_manifest_is_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(tiny_graph(("brixia", "inha")))
    reseal(folder)
    with pytest.raises(BundleError, match=r"probabilities\.inha"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["../model.onnx", "/tmp/model.onnx", "sub/model.onnx", "..\\model.onnx"])
def test_a_zip_with_a_path_trick_is_refused_and_writes_nothing(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "in" / "b.zip"
    archive.parent.mkdir()
    write_tiny_bundle(archive)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(name, b"x")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BundleError, match="at its top level"):
        read_bundle(archive)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_with_a_file_twice_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "b.zip"
    write_tiny_bundle(archive)
    with zipfile.ZipFile(archive, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("card.md", b"other")
    with pytest.raises(BundleError, match="each once"):
        read_bundle(archive)


def test_a_zip_that_would_inflate_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungsev.bundle.archive.MAX_BUNDLE_BYTES", 1 << 16)
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("card.md", b"\0" * (1 << 20))
    with pytest.raises(BundleError, match="larger than a bundle"):
        read_bundle(tmp_path / "b.zip")


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(b"PK not really")
    with pytest.raises(BundleError, match="not a readable zip"):
        read_bundle(tmp_path / "b.zip")


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="there is no bundle at"):
        read_bundle(tmp_path / "nowhere")


def test_writing_replaces_an_older_bundle_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "b")
    newer = write_tiny_bundle(tmp_path / "b", version="2")
    assert read_bundle(tmp_path / "b").sha256 == newer.sha256
    assert newer.manifest.version == "2"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_writing_never_replaces_what_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(BundleError, match="holds other files"):
        write_tiny_bundle(tmp_path / "thesis")
    (tmp_path / "note.zip").write_text("no zip")
    with pytest.raises(BundleError, match="is no bundle"):
        write_tiny_bundle(tmp_path / "note.zip")
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "years of work"


def test_a_failed_write_leaves_the_older_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = write_tiny_bundle(tmp_path / "b")

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(BundleError, match="No space left"):
        write_tiny_bundle(tmp_path / "b", version="2")
    assert read_bundle(tmp_path / "b").sha256 == older.sha256
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]


def test_a_precision_that_is_not_there_says_how_to_get_it(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="lungsev-export RUN --fp16"):
        tiny_bundle.graph_bytes("fp16")


def test_a_packed_bundle_has_the_name_and_the_bytes_of_the_folder(folder: Path, tmp_path: Path) -> None:
    manifest = folder / "manifest.yaml"
    manifest.write_text(manifest.read_text() + "# a remark that no manifest writes\n")
    reseal(folder)
    opened = read_bundle(folder)
    packed = [pack_bundle(opened, tmp_path / name) for name in ("one.zip", "two.zip")]
    assert [bundle.sha256 for bundle in packed] == [opened.sha256] * 2
    assert packed[0].file_bytes("manifest.yaml") == manifest.read_bytes()
    assert packed[0].path.read_bytes() == packed[1].path.read_bytes()
    with pytest.raises(BundleError, match="cannot write the bundle to"):
        pack_bundle(opened, tmp_path / "one.zip" / "below.zip")
