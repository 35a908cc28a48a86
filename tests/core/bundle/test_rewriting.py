"""A bundle with another manifest keeps its graphs, and its card follows the manifest."""

from __future__ import annotations

from pathlib import Path

from tiny_bundle import write_tiny_bundle

from lungsev.bundle.archive import read_bundle
from lungsev.bundle.rewriting import rewrite_bundle


def test_the_manifest_and_its_card_are_new_and_the_graph_is_not(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "bundle")
    opened = read_bundle(tmp_path / "bundle")
    manifest = opened.manifest.model_copy(update={"metrics": {"noted": 0.125}})
    written = rewrite_bundle(opened, tmp_path / "bundle", manifest)
    again = read_bundle(tmp_path / "bundle")
    assert again.sha256 == written.sha256 != opened.sha256
    assert again.manifest.metrics == {"noted": 0.125}
    assert "| noted | 0.125 |" in again.file_bytes("card.md").decode()
    assert again.graph_bytes("fp32") == opened.graph_bytes("fp32")
