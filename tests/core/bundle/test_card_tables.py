from __future__ import annotations

from typing import Any

from lungsev.bundle.card_tables import format_number, markdown_table, measured_parts

SUMMARY = {"images": 12, "accuracy": 0.7, "mae": 0.31, "kappa": 0.8, "total_mae": 1.25, "total_correlation": 0.9}


def metrics(**changes: Any) -> dict[str, Any]:
    test = {
        "expected_total": {**SUMMARY, "region_accuracy": [0.6, 0.8], "region_mae": [0.4, 0.2]},
        "calibration_error": 0.0421,
        "interval": {"coverage": 0.81, "stated_coverage": 0.8, "mean_width": 4.5},
        **changes,
    }
    return {"split": {"protocol": "kfold"}, "results": {"test": test}}


def test_a_run_without_a_test_part_has_no_tables() -> None:
    assert list(measured_parts({}, "AB")) == []
    assert list(measured_parts({"results": {"test": {}}}, "AB")) == []


def test_the_agreement_is_stated_overall_and_per_region() -> None:
    text, overall, regions = measured_parts(metrics(), "AB")
    assert "held-out images (kfold)" in text
    assert "error is 0.0421" in text
    assert "| this model | 12 | 0.7 | 0.31 | 0.8 | 1.25 | 0.9 |" in overall
    assert regions.splitlines()[2:] == ["| A | 0.6 | 0.4 |", "| B | 0.8 | 0.2 |"]


def test_the_second_reader_has_a_row_and_a_column() -> None:
    second = {**SUMMARY, "accuracy": 0.65, "region_mae": [0.5, 0.3]}
    _, overall, regions = measured_parts(metrics(second_reader=second), "AB")
    assert "| second radiologist | 12 | 0.65 |" in overall
    assert "| A | 0.6 | 0.4 | 0.5 |" in regions


def test_groups_and_the_largest_errors_have_their_tables() -> None:
    worst = {
        "image": "a.png",
        "view": "AP",
        "finding": "COVID-19",
        "readers": {"S": 9, "J": 11},
        "expected_total": 5.25,
        "interval": [3, 7],
    }
    parts = list(measured_parts(metrics(views={"AP": SUMMARY}, findings={}, worst=[worst]), "AB"))
    assert parts[3].startswith("| view | images |")
    assert "| a.png | AP | COVID-19 | S 9, J 11 | 5.25 | 3 to 7 |" in parts[-1]
    assert len(parts) == 6


def test_a_table_has_its_heads_and_rows() -> None:
    assert markdown_table("x", ["a"], [("r", [1.23456])]) == "| x | a |\n| --- | --- |\n| r | 1.23 |"


def test_cells_are_short_and_keep_the_table() -> None:
    assert format_number(None) == "-"
    assert format_number(1.23456, 4) == "1.235"
    assert format_number("a|b\nc") == "a/b c"
