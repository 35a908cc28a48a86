"""Bundles added to a zoo and taken out of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_bundle import write_tiny_bundle

from lungsev.bundle import zoo_changes
from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.bundle.zoo import read_index
from lungsev.bundle.zoo_changes import add_bundle, remove_bundle, write_index
from lungsev.errors import BundleError


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_bundle_is_copied_whole_and_described(tiny_bundle: Bundle, tmp_path: Path) -> None:
    added = add_bundle(tiny_bundle.path, tmp_path / "zoo")
    assert files_of(tmp_path / "zoo") == ["tiny@1", "zoo.yaml"]
    assert files_of(added.path) == files_of(tiny_bundle.path)
    assert read_index(tmp_path / "zoo").bundles == (added.entry,)
    entry = added.entry
    assert (entry.full_name, entry.title, entry.schemes) == ("tiny@1", "Brixia score", ("brixia",))
    assert entry.size_bytes == sum(path.stat().st_size for path in tiny_bundle.path.iterdir())
    assert (entry.licence, entry.figures) == ("Apache-2.0", "")
    assert "Research use only" in entry.note


def test_a_zip_remains_a_zip(tmp_path: Path) -> None:
    zipped = write_tiny_bundle(tmp_path / "b.zip")
    added = add_bundle(zipped.path, tmp_path / "zoo", "chest")
    assert added.path.name == "chest@1.zip"
    assert read_bundle(added.path).sha256 == zipped.sha256 == added.entry.sha256


def test_figures_are_those_of_the_test_part(tmp_path: Path) -> None:
    accuracy = {
        "measure": "accuracy",
        "value": 0.61234,
        "decision": "argmax",
        "title": "accuracy",
        "unit": "%",
        "digits": 1,
    }
    test = {"images": 9, "patients": 7, "measurements": [{**accuracy, "interval": None}]}
    measured = write_tiny_bundle(tmp_path / "b", metrics={"results": {"test": test}})
    figures = add_bundle(measured.path, tmp_path / "zoo").entry.figures
    assert figures.startswith("9 test images of 7 patients: accuracy, % (most likely grade) 61.2")


def test_the_same_bundle_twice_is_one_and_another_of_its_name_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    assert add_bundle(tiny_bundle.path, zoo) == add_bundle(tiny_bundle.path, zoo)
    other = write_tiny_bundle(tmp_path / "other", licence="other")
    with pytest.raises(BundleError, match="lists another bundle as tiny@1; give another --name, or remove it first"):
        add_bundle(other.path, zoo)
    add_bundle(other.path, zoo, "other")
    assert [entry.full_name for entry in read_index(zoo).bundles] == ["other@1", "tiny@1"]


@pytest.mark.parametrize("name", ["", "../x", "a b", "x@1", "-x"])
def test_a_name_that_is_no_name_is_refused(tiny_bundle: Bundle, tmp_path: Path, name: str) -> None:
    with pytest.raises(BundleError, match="expected letters, digits"):
        add_bundle(tiny_bundle.path, tmp_path / "zoo", name)
    assert not (tmp_path / "zoo").exists()


def test_a_copy_that_fails_leaves_the_zoo_as_it_was(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = tmp_path / "zoo"
    add_bundle(tiny_bundle.path, zoo)
    before = (zoo / "zoo.yaml").read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BundleError, match=r"cannot change the zoo .*: No space left on device"):
        add_bundle(tiny_bundle.path, zoo, "second")
    assert files_of(zoo) == ["tiny@1", "zoo.yaml"]
    assert (zoo / "zoo.yaml").read_bytes() == before


def test_a_bundle_is_removed_with_its_files(tiny_bundle: Bundle, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    add_bundle(tiny_bundle.path, zoo)
    add_bundle(write_tiny_bundle(tmp_path / "b.zip", version="2").path, zoo)
    with pytest.raises(BundleError, match="has several versions of tiny; expected one of: tiny@1, tiny@2"):
        remove_bundle("tiny", zoo)
    with pytest.raises(BundleError, match="has no bundle chest; expected one of: tiny@1, tiny@2"):
        remove_bundle("chest", zoo)
    assert remove_bundle("tiny@2", zoo).entry.version == "2"
    remove_bundle("tiny", zoo)
    assert files_of(zoo) == ["zoo.yaml"]
    assert read_index(zoo).bundles == ()


def test_an_index_is_written_from_what_is_there_and_keeps_given_names(tiny_bundle: Bundle, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    add_bundle(tiny_bundle.path, zoo, "chest")
    write_tiny_bundle(zoo / "found.zip", version="2")
    (zoo / "notes").mkdir()
    assert [(entry.full_name, entry.path) for entry in write_index(zoo).bundles] == [
        ("chest@1", "chest@1"),
        ("tiny@2", "found.zip"),
    ]
    (zoo / "zoo.yaml").write_text("bundles: [")
    assert [entry.full_name for entry in write_index(zoo).bundles] == ["tiny@1", "tiny@2"]


def test_two_bundles_of_one_name_and_version_are_not_indexed(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "a")
    write_tiny_bundle(tmp_path / "b.zip")
    with pytest.raises(BundleError, match=r"a, .*b\.zip are all tiny@1; leave one of them"):
        write_index(tmp_path)
    with pytest.raises(BundleError, match="does not exist, expected a folder of bundles"):
        write_index(tmp_path / "nowhere")


def test_a_change_waits_for_another_process_s(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    monkeypatch.setattr(zoo_changes, "lock_file", lambda file, wait: waited.append(wait))
    add_bundle(tiny_bundle.path, tmp_path / "zoo")
    assert waited == [True]
