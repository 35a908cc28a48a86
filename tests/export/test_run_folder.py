"""A run folder gives its provenance without paths, and an unfinished one is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lungsev.errors import ConfigError
from lungsev.export.run_folder import newest_run, read_run


def test_a_run_is_read_with_its_name_stamp_and_split(small_run: Path) -> None:
    folder = read_run(small_run)
    assert folder.name == "brixia/20260101-000000"
    assert folder.stamp == "20260101-000000"
    assert folder.metrics == {"brixia": {"mae": 0.5}}
    assert folder.data == ("images of somewhere",)
    assert folder.split_sha256 == hashlib.sha256((small_run / "splits.json").read_bytes()).hexdigest()


def write_run(folder: Path, metrics: str, config: str = "made_by: {started_at: '2026-11-23T04:15:00'}") -> Path:
    folder.mkdir(parents=True)
    (folder / "network.pt").write_bytes(b"")
    (folder / "config.yaml").write_text(config)
    (folder / "metrics.json").write_text(metrics)
    return folder


def test_the_start_of_the_run_is_its_stamp_and_a_known_layout_is_described(tmp_path: Path) -> None:
    folder = read_run(write_run(tmp_path / "run", '{"data": "phantom"}'))
    assert folder.stamp == "20261123-041500"
    assert folder.data == ("synthetic phantom images of lungsev",)
    assert folder.split_sha256 is None


def test_the_hash_that_a_split_states_is_taken(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", "{}")
    (folder / "splits.json").write_text('{"sha256": "0123"}')
    assert read_run(folder).split_sha256 == "0123"


@pytest.mark.parametrize(("metrics", "message"), [("[1]", "holds list, expected a mapping"), ("{", "not valid JSON")])
def test_damaged_metrics_are_named(tmp_path: Path, metrics: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_run(write_run(tmp_path / "run", metrics))


def test_an_unfinished_run_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", "{}")
    (folder / "metrics.json").unlink()
    with pytest.raises(ConfigError, match=r"metrics\.json is missing, so the run is not finished"):
        read_run(folder)


def test_the_newest_finished_run_is_found(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no finished severity run"):
        newest_run(tmp_path)
    for stamp in ("20260101-000000", "20260102-000000"):
        folder = tmp_path / "brixia" / stamp
        folder.mkdir(parents=True)
        (folder / "network.pt").write_bytes(b"")
    (tmp_path / "brixia" / "20260101-000000" / "metrics.json").write_text("{}")
    assert newest_run(tmp_path).name == "20260101-000000"


def test_a_folder_without_a_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no network\.pt"):
        read_run(tmp_path)
