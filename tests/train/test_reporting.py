"""What a report compares with what, and which reader comes first."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.predictions import Predictions, join, ranked_readers
from lungsev.train.evaluation.reporting import figures, tables
from lungsev.train.evaluation.reporting.load import RunReport, baseline_of

SCHEME = load_scheme("brixia")


def predictions(count: int, seed: int, readers: tuple[str, ...] = ("senior", "junior")) -> Predictions:
    generator = np.random.default_rng(seed)
    names = tuple(f"image-{index}" for index in range(count))
    return Predictions(
        SCHEME,
        names,
        names,
        tuple("AP" if index % 2 else "PA" for index in range(count)),
        tuple("COVID-19" if index % 3 else "other" for index in range(count)),
        {reader: generator.integers(0, 4, (count, 6)).astype(float) for reader in readers},
        generator.dirichlet(np.ones(4), (count, 6)),
        np.tile(np.eye(3)[:2], (count, 1, 1)),
    )


def run(label: str, parts: dict[str, Predictions], initial: dict[str, Any] | None = None, **network: Any) -> RunReport:
    settings = {
        "title": label if label.startswith("CXR") else "",
        "network": {"backbone": "resnet18", "neck": "concat", **network},
        "initial": initial or {},
    }
    history = [{"epoch": 0, "train/loss": 1.0, "validation/loss": 0.9}, {"epoch": 1, "train/loss": 0.8}]
    return RunReport(Path(label), label, settings, {}, parts, None, history)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[RunReport]:
    monkeypatch.setattr(tables, "RESAMPLES", 30)
    parts = [{"test": predictions(12, seed), "consensus": predictions(9, seed + 10)} for seed in range(5)]
    return [
        run("CXR-CLIP", parts[0], {"encoder_weights": "clip/r18.pt"}, position_aware=False),
        run("BS-Net", parts[1], neck="pyramid", position_aware=False),
        run("SN", parts[2], position_aware=False),
        run("PAFE", parts[3], position_aware=True),
        run("mask attention", parts[4], position_aware=False, mask_attention=True),
    ]


def test_the_twin_of_an_encoder_is_spatial_normalisation_alone_and_nothing_else(runs: list[RunReport]) -> None:
    assert [getattr(baseline_of(one, runs), "label", None) for one in runs] == [None, None, None, "SN", None]


def test_pairs_are_tested_on_every_part_and_many_runs_with_the_first_and_the_twin_only(runs: list[RunReport]) -> None:
    rows = tables.paired_table(runs).rows
    differences = [row[0] for row in rows if row[1] == "consensus (9)"]
    assert differences == [
        "BS-Net minus CXR-CLIP",
        "SN minus CXR-CLIP",
        "PAFE minus CXR-CLIP",
        "mask attention minus CXR-CLIP",
        "PAFE minus SN",
    ]
    assert len(rows) == 2 * len(differences)
    assert len(tables.paired_table(runs[:3]).rows) == 2 * 3


def test_a_start_from_scratch_is_what_portability_is_tested_against(runs: list[RunReport]) -> None:
    source = {"source": "runs/brixia/one"}
    tuned = [run(f"tuned {n}", {"test": predictions(12, n)}, source, backbone="resnet34") for n in range(2)]
    scratch = run("scratch", {"test": predictions(12, 9)}, backbone="resnet34")
    differences = [row[0] for row in tables.paired_table([runs[0], scratch, *tuned, runs[4]]).rows]
    assert {"tuned 0 minus scratch", "tuned 1 minus scratch"} <= set(differences)
    assert "tuned 1 minus tuned 0" not in differences


def test_only_the_rows_of_the_paper_stand_beside_its_numbers(runs: list[RunReport]) -> None:
    paper = {row[0]: row[-1] for row in tables.accuracy_table(runs).rows}
    assert paper["SN"].endswith("63.0 (0.39)")
    assert paper["PAFE"].endswith("65.7 (0.37)")
    assert paper["CXR-CLIP"].startswith("95.1")
    assert (paper["BS-Net"], paper["mask attention"]) == ("-", "-")


def test_every_figure_has_something_to_show(runs: list[RunReport]) -> None:
    for draw in (figures.mae_by_region, figures.confusion, figures.reliability, figures.learning_curves):
        assert isinstance(draw(runs), Figure)
    labels = figures.mae_by_region(runs).legends[0].get_texts()  # type: ignore[union-attr]
    assert {text.get_text() for text in labels} >= {"PAFE", "second reader, 12 images"}


def test_a_reader_whom_some_image_puts_first_stays_first() -> None:
    assert ranked_readers([["radiologist"], ["consensus", "radiologist"], ["radiologist"]]) == [
        "consensus",
        "radiologist",
    ]
    joined = join([predictions(3, 0, ("radiologist",)), predictions(2, 1, ("consensus", "radiologist"))])
    assert list(joined.readings) == ["consensus", "radiologist"]
    assert np.array_equal(joined.reference[3:], joined.readings["consensus"][3:])


def test_small_groups_are_shown_together_and_images_without_a_word_in_none() -> None:
    words = ["COVID-19"] * 6 + ["SARS"] * 2 + ["ARDS"] * 3 + [""] * 9
    scored = dataclasses.replace(predictions(20, 0), findings=tuple(words))
    rows = tables.group_table([run("SN", {"test": scored})], "finding").rows
    assert [(row[1], row[2]) for row in rows] == [("COVID-19", "6"), ("others: ARDS; SARS", "5")]
    assert [row[1] for row in tables.group_table([run("SN", {"test": scored.select(range(8))})], "finding").rows] == [
        "COVID-19"
    ]
