"""`lungsev-run models`: the bundles that --bundle knows by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lungsev.bundle.archive import Bundle
from lungsev.errors import BundleError
from lungsev.runtime.cli import app
from lungsev.runtime.settings import ModelSettings


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LUNGSEV_ZOO", raising=False)


def models(*words: object) -> str:
    result = CliRunner().invoke(app, ["models", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_bundle_that_was_added_is_listed_verified_by_name_and_removed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    assert "lungsev-brixia@" in models()
    assert models("add", tiny_bundle.path, "--name", "chest").endswith("--bundle chest@1\n")
    listed = models()
    assert "chest@1  Brixia score, " in listed
    assert "    no test images\n    Apache-2.0. Research use only." in listed
    found = json.loads(models("--json"))
    assert [item["name"] for item in found] == ["lungsev-brixia", "chest"]
    assert found[1]["path"] == str(tmp_path / "home/lungsev/zoo/chest@1")
    verified = CliRunner().invoke(app, ["verify", "--bundle", "chest", "--backend", "onnxruntime"])
    assert "ok   self-test" in verified.output
    assert models("remove", "chest").startswith("Removed chest@1 from ")
    assert "chest" not in models()


def test_an_unsigned_bundle_is_added_only_where_that_is_asked_for(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LUNGSEV_ALLOW_UNSIGNED")
    with pytest.raises(BundleError, match=r"is not signed; .* --allow-unsigned"):
        models("add", tiny_bundle.path, "--name", "chest")
    assert "chest" not in models()
    assert "Added chest@1" in models("add", tiny_bundle.path, "--name", "chest", "--allow-unsigned")


def test_a_folder_of_bundles_is_indexed_for_others(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models("add", tiny_bundle.path, "--zoo", tmp_path / "site")
    (tmp_path / "site/zoo.yaml").unlink()
    assert models("index", tmp_path / "site") == f"{tmp_path / 'site'}: 1 bundle indexed\n"
    assert "tiny@1" not in models()
    monkeypatch.setenv("LUNGSEV_ZOO", str(tmp_path / "site"))
    assert "tiny@1" in models()


def test_the_settings_file_may_name_a_zoo(tiny_bundle: Bundle, tmp_path: Path) -> None:
    models("add", tiny_bundle.path, "--zoo", tmp_path / "site")
    named = ModelSettings.model_validate({"bundle": "tiny", "zoo": str(tmp_path / "site")})
    assert named.bundle_path() == tmp_path / "site/tiny@1"
    assert ModelSettings().bundle_path() is None
    with pytest.raises(BundleError, match="there is no bundle at tiny"):
        ModelSettings(bundle=Path("tiny")).bundle_path()
