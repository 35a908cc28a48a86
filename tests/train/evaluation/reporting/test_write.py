"""A whole report read by a sceptic: one thing has one value, and scikit-learn has the same."""

from __future__ import annotations

import csv
import html.parser
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_runs import read_images, write_report_run
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

from lungsev.train.evaluation.reporting import write

MEASURES = ("accuracy", "mae", "within_one", "kappa", "total_mae", "total_bias", "total_r")


class MeasuredCells(html.parser.HTMLParser):
    """Every measured cell of a page: its row's first cell, its shown value, and its data attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.cells: list[tuple[str, str, dict[str, str]]] = []
        self.row, self.inside, self.small, self.attributes = "", "", False, {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.row = ""
        elif tag == "td":
            found = {key.removeprefix("data-"): value or "" for key, value in attrs}
            self.inside = "value" if "measured" in found.get("class", "") else "" if self.row else "label"
            self.attributes, self.text = found, ""
        elif tag in ("small", "sup"):
            self.small = True

    def handle_data(self, data: str) -> None:
        if self.inside and not self.small:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("small", "sup"):
            self.small = False
        elif tag == "td" and self.inside == "label":
            self.row = self.text
        elif tag == "td" and self.inside == "value" and "value" in self.attributes:
            self.cells.append((self.row, self.text, self.attributes))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    runs = []
    for number, (aware, skill) in enumerate(((False, 0.4), (True, 0.7))):
        parts = {
            part: read_images(count, skill, number, part=part, images_seed=seed)
            for part, count, seed in (("train", 30, 1), ("validation", 14, 2), ("test", 36, 3), ("consensus", 24, 4))
        }
        runs.append(write_report_run(folder / f"run-{number}", parts, {"position_aware": aware}))
    (folder / "page" / "tables").mkdir(parents=True)
    (folder / "page" / "tables" / "of-an-earlier-report.csv").touch()
    write.write_report(runs, folder / "page", "A & B")
    return folder


def test_a_report_leaves_no_table_of_an_earlier_one(report: Path) -> None:
    names = {path.stem for path in (report / "page" / "tables").iterdir()}
    assert "of-an-earlier-report" not in names
    assert len(names) > 5


@pytest.fixture(scope="module")
def cells(report: Path) -> list[tuple[str, str, dict[str, str]]]:
    return MeasuredCells((report / "page" / "report.html").read_text()).cells


def test_one_thing_has_one_value_wherever_the_page_shows_it(cells: list[tuple[str, str, dict[str, str]]]) -> None:
    shown: dict[tuple[str, ...], set[tuple[str, ...]]] = defaultdict(set)
    for row, text, data in cells:
        key = (row, *(data.get(name, "") for name in ("measure", "region", "part", "decision")))
        shown[key].add((text, data["value"], data.get("low", ""), data.get("high", ""), data["n"], data["patients"]))
    assert len(shown) > 150
    assert {key: values for key, values in shown.items() if len(values) > 1} == {}


def recomputed(saved: dict[str, Any], measure: str, decision: str, region: str) -> float:
    """A measure by scikit-learn and NumPy from a predictions file alone."""
    scheme = saved["scheme"]
    grades = np.array(scheme["grades"])
    probabilities = np.array(saved["probabilities"])
    reference = np.array(saved["readings"]["senior"], dtype=float)
    if decision == "expected":
        predicted = probabilities @ grades
    elif decision == "median":
        predicted = grades[(probabilities.cumsum(axis=-1) < 0.5).sum(axis=-1)]
    else:
        predicted = grades[probabilities.argmax(axis=-1)]
    if region:
        column = [each["code"] for each in scheme["regions"]].index(region)
        reference, predicted = reference[:, [column]], predicted[:, [column]]
    known = ~np.isnan(reference)
    truth, said = reference[known], predicted[known]
    totals = reference[known.all(axis=1)].sum(axis=1), predicted[known.all(axis=1)].sum(axis=1)
    by_measure = {
        "accuracy": lambda: 100 * accuracy_score(truth, said),
        "mae": lambda: mean_absolute_error(truth, said),
        "within_one": lambda: 100 * np.mean(np.abs(truth - said) <= 1),
        "kappa": lambda: cohen_kappa_score(truth, said, weights="quadratic", labels=grades),
        "total_mae": lambda: mean_absolute_error(*totals),
        "total_bias": lambda: np.mean(totals[1] - totals[0]),
        "total_r": lambda: np.corrcoef(*totals)[0, 1],
    }
    return float(by_measure[measure]())


def test_every_number_is_what_scikit_learn_makes_of_the_predictions_file(
    report: Path, cells: list[tuple[str, str, dict[str, str]]]
) -> None:
    folders = {"ResNet18 + SN": "run-0", "ResNet18 + SN + PAFE": "run-1"}
    checked = 0
    for row, text, data in cells:
        if row not in folders or data["measure"] not in MEASURES or data["part"] not in ("train", "test", "consensus"):
            continue
        saved = json.loads((report / folders[row] / f"predictions-{data['part']}.json").read_text())
        value = recomputed(saved, data["measure"], data["decision"], data.get("region", ""))
        assert float(data["value"]) == pytest.approx(value, abs=1e-9), (row, data)
        assert float(text) == pytest.approx(value, abs=0.5 * 10.0 ** -len(text.partition(".")[2]) + 1e-9)
        checked += 1
    assert checked > 80


def test_figures_show_the_numbers_of_the_tables(report: Path, cells: list[tuple[str, str, dict[str, str]]]) -> None:
    tables = {
        (row, data["measure"]): text
        for row, text, data in cells
        if data["part"] == "consensus" and "region" not in data and data["decision"] == "argmax"
    }
    reliability = (report / "page" / "figures" / "brixia-reliability.svg").read_text()
    for label in ("ResNet18 + SN", "ResNet18 + SN + PAFE"):
        assert f"{label} (ECE {tables[label, 'ece']})" in reliability
    totals = (report / "page" / "figures" / "run2-totals.svg").read_text()
    label = "ResNet18 + SN + PAFE"
    assert f"r {tables[label, 'total_r']}, MAE {tables[label, 'total_mae']} points" in totals
    for measure in ("total_bias", "limit_low", "limit_high"):
        assert f"{float(tables[label, measure]):+.2f}" in totals.replace("−", "-")


def test_every_table_and_figure_has_files_of_its_own_and_the_page_needs_none(report: Path) -> None:
    page = (report / "page" / "report.html").read_text()
    names = re.findall(r"<section id='([\w-]+)'", page)
    files = {path.name for path in (report / "page" / "tables").iterdir()}
    assert files == {f"{name}.{suffix}" for name in names for suffix in ("md", "tex", "csv")}
    figures = re.findall(r"<figure id='([\w-]+)'", page)
    files = {path.name for path in (report / "page" / "figures").iterdir()}
    assert files == {f"{name}.{suffix}" for name in figures for suffix in ("png", "pdf", "svg")}
    assert "How these numbers were made" in page
    assert re.findall(r"(?:src|href)='(?!data:|#)", page) == []


def test_the_csv_files_hold_the_numbers_of_the_page(report: Path, cells: list[tuple[str, str, dict[str, str]]]) -> None:
    on_page = {(row, data["measure"], data["part"], data["value"]) for row, _, data in cells}
    rows = list(csv.DictReader((report / "page" / "tables" / "agreement-totals.csv").open()))
    assert {(row["who"], row["measure"], row["part"], row["value"]) for row in rows if row["value"]} <= on_page
    assert all(row["n"] and row["patients"] and row["unit"] is not None for row in rows)
