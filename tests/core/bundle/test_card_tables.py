from __future__ import annotations

from typing import Any

from lungsev.bundle.card_tables import format_number, markdown_table, measured_cell, measured_parts


def measured(measure: str, value: float | None, decision: str = "argmax", **changes: Any) -> dict[str, Any]:
    titles = {"accuracy": ("accuracy", "%", 1), "mae": ("MAE", "grades", 3), "total_mae": ("total MAE", "points", 2)}
    title, unit, digits = titles.get(measure, (measure, "", 3))
    found = {"measure": measure, "value": value, "decision": decision, "title": title, "unit": unit, "digits": digits}
    return {**found, "interval": None, "bins": None, "sd": None, "caution": "", "images": 12, **changes}


def metrics(**changes: Any) -> dict[str, Any]:
    by_region = {"region_accuracy": [0.6, 0.8], "region_mae": [0.4, 0.2]}
    agreement = [
        measured("accuracy", 0.7, interval=[0.6, 0.8]),
        measured("mae", 0.31),
        measured("mae", 0.29, "median"),
        measured("total_mae", 1.25, "expected"),
    ]
    calibration = [
        measured("ece", 0.0421, bins=15, title="ECE", caution="no measurement"),
        measured("interval_coverage", 0.81, "interval", title="coverage of the interval", unit="%", digits=1),
    ]
    test = {
        "images": 12,
        "patients": 9,
        "argmax": by_region,
        "median": by_region,
        "measurements": [*agreement, *calibration],
        **changes,
    }
    return {"split": {"protocol": "kfold"}, "calibration_fitted_on": "other folds", "results": {"test": test}}


def test_a_run_without_a_test_part_has_no_tables() -> None:
    assert list(measured_parts({}, "AB")) == []
    assert list(measured_parts({"results": {"test": {}}}, "AB")) == []


def test_a_quantity_has_one_row_and_each_decision_its_column() -> None:
    text, overall, *_ = measured_parts(metrics(), "AB")
    assert "held-out images (kfold): 12 images of 9 patients" in text
    assert overall.splitlines() == [
        "|  | most likely grade | median grade | expected grade |",
        "| --- | --- | --- | --- |",
        "| accuracy, % | 70.0 [60.0, 80.0] |  |  |",
        "| MAE, grades | 0.310 | 0.290 |  |",
        "| total MAE, points |  |  | 1.25 |",
    ]


def test_what_was_fitted_on_the_images_shown_says_so() -> None:
    _, _, text, table, _ = measured_parts(metrics(), "AB")
    assert text == "Calibration. Temperature and interval were fitted on: other folds."
    assert "| ECE (15 bins) | 0.042 | no measurement |" in table
    assert "| coverage of the interval, % | 81.0 |  |" in table


def test_the_second_reader_has_a_column_overall_and_by_region() -> None:
    second = {"region_mae": [0.5, 0.3], "measurements": [measured("accuracy", 0.65, "reader")]}
    _, overall, _, _, regions = measured_parts(metrics(second_reader=second), "AB")
    assert overall.splitlines()[0].endswith("| second radiologist |")
    assert overall.splitlines()[2].endswith("| 65.0 |")
    assert "| A | 0.6 | 0.6 | 0.4 | 0.4 | 0.5 |" in regions


def test_groups_and_the_largest_errors_have_their_tables() -> None:
    worst = {
        "image": "a.png",
        "view_position": "AP",
        "finding": "COVID-19",
        "readers": {"S": 9, "J": 11},
        "expected_total": 5.25,
        "interval": [3, 7],
    }
    groups = {"view position": {"AP": [measured("accuracy", 0.5), measured("total_mae", None, "expected")]}}
    parts = list(measured_parts(metrics(groups=groups, worst=[worst, {**worst, "interval": None}]), "AB"))
    assert parts[5].splitlines()[0] == (
        "| view position (images) | accuracy, % (most likely grade) | total MAE, points (expected grade) |"
    )
    assert parts[5].splitlines()[2] == "| AP (12) | 50.0 | - |"
    assert "| a.png | AP | COVID-19 | S 9, J 11 | 5.25 | 3 to 7 |" in parts[-1]
    assert parts[-1].endswith("| 5.25 | - |")


def test_several_seeds_show_their_spread() -> None:
    assert measured_cell(measured("accuracy", 0.7, sd=0.012, interval=[0.6, None])) == "70.0 ± 1.2 [60.0]"


def test_a_table_has_its_heads_and_rows() -> None:
    assert markdown_table("x", ["a"], [("r", [1.23456])]) == "| x | a |\n| --- | --- |\n| r | 1.23 |"


def test_cells_are_short_and_keep_the_table() -> None:
    assert format_number(None) == "-"
    assert format_number(1.23456, 4) == "1.235"
    assert format_number("a|b\nc") == "a/b c"
