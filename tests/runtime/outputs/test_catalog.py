"""Outputs by name."""

from __future__ import annotations

import pytest

from lungsev.errors import ConfigError
from lungsev.runtime.outputs.catalog import open_outputs


def test_the_default_is_the_report_and_the_picture() -> None:
    assert [output.name for output in open_outputs()] == ["json", "overlay"]


def test_each_name_counts_once_and_in_order() -> None:
    assert [output.name for output in open_outputs(["overlay", "json", "overlay"])] == ["overlay", "json"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="'pdf' is unknown; known are json, overlay, csv"):
        open_outputs(["json", "pdf"])
