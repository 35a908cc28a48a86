"""Bundles by name: which one a name means, and what is said when it means none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from tiny_bundle import write_tiny_bundle

import lungsev
from lungsev.bundle.archive import Bundle, default_bundle_path, read_bundle, verify_bundle
from lungsev.bundle.zoo import find_bundle, list_bundles, packaged_zoo, read_index, sums_sha256, user_zoo
from lungsev.bundle.zoo_changes import add_bundle, write_index
from lungsev.errors import BundleError


@pytest.fixture
def zoo(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo that LUNGSEV_ZOO names, with one bundle, `chest@1`; the user's own is empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LUNGSEV_ZOO", str(tmp_path / "zoo"))
    add_bundle(tiny_bundle.path, tmp_path / "zoo", "chest")
    return tmp_path / "zoo"


def test_a_name_with_or_without_its_version_opens_the_bundle(zoo: Path, tiny_bundle: Bundle) -> None:
    assert find_bundle("chest") == find_bundle("chest@1") == zoo / "chest@1"
    assert read_bundle("chest").sha256 == tiny_bundle.sha256
    assert all(check.passed for check in verify_bundle(Path("chest")))
    with lungsev.load("chest", sandbox=False) as model:
        assert model.info.bundle_sha256 == tiny_bundle.sha256


def test_a_path_goes_before_a_name(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    other = write_tiny_bundle(Path("chest"), version="9")
    assert read_bundle("chest").sha256 == other.sha256 != read_bundle("chest@1").sha256


def test_the_index_that_ships_with_lungsev_lists_the_packaged_bundle() -> None:
    (entry,) = read_index(packaged_zoo()).bundles
    assert packaged_zoo() / entry.path == default_bundle_path()
    shipped = read_bundle()
    assert (entry.sha256, entry.size_bytes) == (shipped.sha256, shipped.size_bytes), (
        "run: lungsev-run models index lungsev/bundle"
    )
    assert "133 test images" in entry.figures
    assert find_bundle(entry.full_name) == default_bundle_path()


def test_an_unknown_name_lists_the_known_ones_and_a_close_one(zoo: Path) -> None:
    with pytest.raises(BundleError, match=r"known name \(chest@1, lungsev-brixia@.*\); did you mean chest\?"):
        read_bundle("chset")
    with pytest.raises(BundleError, match=r"known name \(chest@1, [^)]*\)$"):
        read_bundle("zzz")
    assert "there is no bundle at chset" in verify_bundle("chset")[0].detail


def test_of_two_versions_one_must_be_chosen(zoo: Path, tmp_path: Path) -> None:
    newer = write_tiny_bundle(tmp_path / "newer", version="2")
    add_bundle(newer.path, zoo, "chest")
    with pytest.raises(BundleError, match="chest has several versions, give one of chest@1, chest@2"):
        read_bundle("chest")
    assert read_bundle("chest@2").sha256 == newer.sha256


def test_one_name_for_two_bundles_in_two_zoos_is_refused(zoo: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    add_bundle(tiny_bundle.path, user_zoo(), "chest")
    assert read_bundle("chest").path == zoo / "chest@1"  # the same bundle twice
    shutil.rmtree(user_zoo())
    add_bundle(write_tiny_bundle(tmp_path / "b", licence="other").path, user_zoo(), "chest")
    with pytest.raises(BundleError, match="chest@1 is another bundle in each of several zoos"):
        read_bundle("chest")


def test_another_bundle_than_the_listed_one_is_refused(zoo: Path) -> None:
    write_tiny_bundle(zoo / "chest@1", version="1", licence="other")
    with pytest.raises(BundleError, match=r"found sha256 \w{12}…, expected \w{12}…; copy it again, or list what is"):
        read_bundle("chest")


def test_a_changed_file_of_a_listed_bundle_is_refused(zoo: Path) -> None:
    card = zoo / "chest@1" / "card.md"
    card.write_text("# Better than it is\n")
    with pytest.raises(BundleError, match=r"card\.md was changed or damaged: found sha256"):
        read_bundle("chest")


def test_a_listed_bundle_that_is_gone_says_where_it_should_be(zoo: Path) -> None:
    shutil.rmtree(zoo / "chest@1")
    with pytest.raises(BundleError, match=r"chest@1 should be at .*chest@1, where there is nothing"):
        read_bundle("chest")


def test_a_folder_without_checksums_and_a_file_that_is_no_zip_have_no_hash(tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(b"no zip")
    for path in (tmp_path, tmp_path / "b.zip", tmp_path / "nowhere"):
        with pytest.raises(BundleError, match="has no readable SHA256SUMS"):
            sums_sha256(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bundles: [", "is not valid YAML"),
        ("- 1", "valid dictionary"),
        ("format_version: 2", "format_version: Input should be 1"),
        ("bundles: [{name: x}]", r"bundles\.0\.version: Field required"),
        ("x" * (1 << 20) + "xx", "larger than an index can be"),
    ],
)
def test_a_damaged_index_says_how_to_write_it_again(zoo: Path, text: str, problem: str) -> None:
    (zoo / "zoo.yaml").write_text(text)
    with pytest.raises(BundleError, match=rf"{problem}.*; write it again: lungsev-run models index"):
        read_bundle("chest")
    assert read_bundle(zoo / "chest@1").manifest.name == "tiny"  # a path needs no index


@pytest.mark.parametrize("path", ["/etc/bundle", "../bundle", "a/../../b"])
def test_an_index_cannot_point_out_of_its_folder(zoo: Path, path: str) -> None:
    document = yaml.safe_load((zoo / "zoo.yaml").read_text())
    document["bundles"][0]["path"] = path
    (zoo / "zoo.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(BundleError, match="expected a path below the folder of the index"):
        list_bundles()


def test_an_index_that_lists_a_version_twice_is_refused(zoo: Path) -> None:
    document = yaml.safe_load((zoo / "zoo.yaml").read_text())
    document["bundles"] *= 2
    (zoo / "zoo.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(BundleError, match="chest@1 is listed twice"):
        list_bundles()


def test_the_settings_file_s_zoo_goes_before_the_environment_s(zoo: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    add_bundle(tiny_bundle.path, tmp_path / "site", "ward")
    assert find_bundle("ward", tmp_path / "site") == tmp_path / "site" / "ward@1"
    with pytest.raises(BundleError, match="there is no bundle at chest"):
        find_bundle("chest", tmp_path / "site")


def test_a_named_zoo_without_an_index_is_an_error(zoo: Path) -> None:
    (zoo / "zoo.yaml").unlink()
    with pytest.raises(BundleError, match=r"has no zoo\.yaml, expected the folder of a zoo; write one: lungsev-run mo"):
        list_bundles()
    assert [entry.name for entry in write_index(zoo).bundles] == ["tiny"]


def test_the_user_s_zoo_is_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_zoo() == tmp_path / ".local/share/lungsev/zoo"


def test_an_account_without_a_home_has_a_place_for_its_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # raises KeyError, as where nothing names a home
    assert user_zoo() == Path("/var/lib/lungsev/zoo")
