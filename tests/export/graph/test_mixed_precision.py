from __future__ import annotations

import pytest
from harsh_graph import CASES, with_convolutions
from tiny_bundle import tiny_manifest

from lungsev.errors import ParityError
from lungsev.export.graph.mixed_precision import half_within_tolerance
from lungsev.inference.parity import HALF_TOLERANCE


def test_a_graph_that_passes_is_left_in_half() -> None:
    half, parities = half_within_tolerance(with_convolutions(0.0), CASES, tiny_manifest())
    assert half.half_layers == 3
    assert [parity.cases for parity in parities] == [len(CASES)] * 2
    assert "entry" not in {island.part for island in half.islands}


def test_the_part_that_changes_the_grades_returns_to_fp32_and_the_rest_stays_half() -> None:
    said: list[str] = []
    half, parities = half_within_tolerance(with_convolutions(1500.0), CASES, tiny_manifest(), said.append)
    assert "too far from FP32" in said[0]
    assert 0 < half.half_layers < 3
    assert "entry" in {island.part for island in half.islands}
    for parity in parities:
        parity.require(HALF_TOLERANCE)


def test_what_passes_a_few_images_is_tried_on_all() -> None:
    _, parities = half_within_tolerance(with_convolutions(1500.0), CASES, tiny_manifest(), probes=1)
    assert [parity.cases for parity in parities] == [len(CASES)] * 2


def test_a_network_that_loses_its_grades_is_refused_with_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lungsev.export.graph.mixed_precision.LEAST_SHARE", 0.9)
    with pytest.raises(ParityError, match=r"probabilities .* export it without --fp16"):
        half_within_tolerance(with_convolutions(1500.0), CASES, tiny_manifest())
