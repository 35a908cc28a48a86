"""A patient's course, and which changes are called changes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from lungsev.errors import LungsevError
from lungsev.report import ImageInfo, ModelInfo, RegionScore, SchemeScore, SeverityReport
from lungsev.runtime.cli import app
from lungsev.runtime.commands.trend import trend, trend_name
from lungsev.runtime.patients.chart import draw_trend
from lungsev.runtime.patients.history import Exam, History, exams_of
from lungsev.runtime.patients.trend import patient_trend, readers_disagree, sentence

MODEL = ModelInfo("lungsev-brixia", "1.2.0", "0f" * 32, "onnxruntime", "cpu", "fp32")
START = datetime(2026, 3, 2, 8, 15)


def an_exam(
    total: int,
    hours: float | None,
    *,
    name: str = "",
    patient: str = "PHANTOM-1",
    view: str | None = "AP",
    model: ModelInfo = MODEL,
    uid: str | None = None,
    written_at: float = 0.0,
) -> Exam:
    """An image of a total, spread over zones A-F from the top."""
    grades = [max(0, min(3, total - 3 * i)) for i in range(6)]
    square = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
    regions = tuple(
        RegionScore(code, f"zone {code}", "both", grade, float(grade), (0.25, 0.25, 0.25, 0.25), (grade, grade), square)
        for code, grade in zip("ABCDEF", grades, strict=True)
    )
    taken = None if hours is None else (START + timedelta(hours=hours)).isoformat()
    score = SchemeScore(regions, total, float(total), (max(0, total - 2), min(18, total + 2)), 0.8, 18)
    image = ImageInfo(sop_instance_uid=uid, patient_id=patient, acquired_at=taken, view=view)
    report = SeverityReport("scored", image, model, scores={"brixia": score})
    return Exam(name or f"image-{hours}-{total}", report, written_at)


def changes(totals: Sequence[int]) -> list[str | None]:
    trend = patient_trend([an_exam(total, 24 * day) for day, total in enumerate(totals)])
    assert trend is not None
    return [point.change for point in trend.points]


def test_up_to_two_points_are_within_what_readers_differ_by() -> None:
    assert changes([6, 8, 6, 4]) == [None, None, None, None]


def test_more_than_two_points_are_a_change() -> None:
    assert changes([6, 9, 6]) == [None, "worse", "better"]


def test_a_slow_drift_is_called_once_it_adds_up() -> None:
    assert changes([4, 5, 6, 7, 8, 9, 10]) == [None, None, None, "worse", None, None, "worse"]


def test_a_step_from_the_image_before_is_a_change_even_where_it_leads_back() -> None:
    trend = patient_trend([an_exam(total, 24 * day) for day, total in enumerate([5, 7, 4])])
    assert trend is not None
    assert [point.change for point in trend.points] == [None, None, "better"]
    assert (
        sentence(trend.points[2], 2)
        == "Better by 3 since 03 Mar 08:15: more than the 2 points by which two readers usually differ."
    )
    assert (
        sentence(trend.points[1], 2)
        == "+2 since the previous X-ray: within the 2 points by which two readers usually differ."
    )


def test_a_change_is_not_called_again_while_it_lasts() -> None:
    assert changes([2, 8, 8, 9]) == [None, "worse", None, None]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 18), min_size=1, max_size=12), st.randoms())
def test_order_of_arrival_does_not_matter(totals: list[int], chance) -> None:
    exams = [an_exam(total, 24 * day, written_at=chance.random()) for day, total in enumerate(totals)]
    shuffled = list(exams)
    chance.shuffle(shuffled)
    assert patient_trend(shuffled) == patient_trend(exams)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 18), min_size=2, max_size=12))
def test_every_called_change_is_larger_than_the_readers_disagreement(totals: list[int]) -> None:
    trend = patient_trend([an_exam(total, 24 * day) for day, total in enumerate(totals)])
    assert trend is not None
    by_id = {point.id: point for point in trend.points}
    for point in trend.points[1:]:
        moved = point.total - by_id[point.reference_id or ""].total
        assert point.since_reference == moved
        assert (abs(moved) > 2) == (point.change is not None)


def test_hours_and_points_since_the_image_before() -> None:
    trend = patient_trend([an_exam(5, 0), an_exam(9, 17.5)])
    assert trend is not None
    assert (trend.points[1].since_previous, trend.points[1].hours_since_previous) == (4, 17.5)


def test_another_view_is_marked_and_another_model_is_not_compared() -> None:
    newer = replace(MODEL, bundle_sha256="1a" * 32)
    trend = patient_trend(
        [
            an_exam(5, 0),
            an_exam(9, 24, view="PA"),
            an_exam(15, 48, view="PA", model=newer),
            an_exam(15, 72, model=newer),
        ]
    )
    assert trend is not None
    assert [point.view_changed for point in trend.points] == [False, True, False, True]
    assert [point.model_changed for point in trend.points] == [False, False, True, False]
    assert [point.change for point in trend.points] == [None, "worse", None, None]
    assert "not directly comparable" in sentence(trend.points[2], trend.threshold)


def test_a_zone_that_moved_by_two_grades_is_named() -> None:
    trend = patient_trend([an_exam(3, 0), an_exam(6, 24)])
    assert trend is not None
    assert [(change.code, change.before, change.after) for change in trend.points[1].region_changes] == [("B", 0, 3)]


def test_an_image_scored_twice_counts_once_with_its_newest_report() -> None:
    trend = patient_trend([an_exam(5, 0, name="a", uid="1.2.3"), an_exam(7, 0, name="b", uid="1.2.3", written_at=9.0)])
    assert trend is not None
    assert [point.total for point in trend.points] == [7]


def test_images_without_a_date_or_a_score_have_no_place_but_are_counted() -> None:
    skipped = SeverityReport("skipped", ImageInfo(patient_id="PHANTOM-1"), reason="rotated", message="Turned.")
    trend = patient_trend([an_exam(5, 0), an_exam(9, None, name="undated"), Exam("no", skipped, 0.0)])
    assert trend is not None
    assert (len(trend.points), trend.undated, trend.unscored) == (1, ("undated",), 1)
    assert patient_trend([Exam("no", skipped, 0.0)]) is None
    assert patient_trend([]) is None


@pytest.mark.parametrize(("total_max", "threshold"), [(18, 2), (36, 4), (20, 2), (8, 1), (1, 1)])
def test_the_threshold_follows_the_schemes_range(total_max: int, threshold: int) -> None:
    assert readers_disagree(total_max) == threshold


@pytest.mark.parametrize("count", [1, 2, 40])
def test_the_picture_of_any_number_of_images_can_be_drawn(count: int) -> None:
    trend = patient_trend([an_exam(day % 19, 7 * day) for day in range(count)])
    assert trend is not None
    picture = draw_trend(trend, "Course", 0.5)
    assert picture.shape[1] == 800
    assert np.ptp(picture.astype(int)) > 200


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "reports").mkdir()
    for hours, total in ((0, 4), (30, 9), (60, 8)):
        exam = an_exam(total, hours, patient="=EVIL\x1b[31m")
        (tmp_path / "reports" / f"{exam.id}.json").write_text(exam.report.to_json(), encoding="utf-8")
    (tmp_path / "reports" / "broken.json").write_text("{", encoding="utf-8")
    return tmp_path


def test_the_command_prints_a_table_and_writes_a_picture_that_does_not_name_the_patient(out: Path, capsys) -> None:
    trend("=EVIL\x1b[31m", out, None, None, json_output=False)
    printed = capsys.readouterr().out
    assert "worse +5" in printed
    assert "\x1b" not in printed
    (picture,) = (out / "trends").iterdir()
    assert picture.stem == trend_name("=EVIL\x1b[31m")
    assert "EVIL" not in picture.name
    assert cv2.imread(str(picture)) is not None


def test_the_command_prints_json_for_machines(out: Path) -> None:
    result = CliRunner().invoke(app, ["trend", "=EVIL\x1b[31m", "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert [point["total"] for point in data["points"]] == [4, 9, 8]
    assert data["points"][1]["change"] == "worse"
    assert data["disclaimer"].startswith("Research use only")


def test_an_unknown_patient_or_folder_is_one_line(out: Path, tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="no image of this patient among 3 reports of 1 patient in"):
        trend("nobody", out, None, None, json_output=False)
    with pytest.raises(LungsevError, match="cannot read reports"):
        trend("nobody", tmp_path / "none", None, None, json_output=False)
    with pytest.raises(LungsevError, match="none with a score under the scheme ralo"):
        trend("=EVIL\x1b[31m", out, "ralo", None, json_output=False)


def test_history_reads_a_report_once_and_notices_what_comes_and_goes(out: Path) -> None:
    history = History(out)
    first = history.refresh()
    version = history.version
    assert len(first) == 3
    assert history.refresh()["image-0-4"] is first["image-0-4"]
    assert history.version == version
    exam = an_exam(3, 90)
    (out / "reports" / f"{exam.id}.json").write_text(exam.report.to_json(), encoding="utf-8")
    (out / "reports" / "image-0-4.json").unlink()
    assert set(history.refresh()) == {"image-30-9", "image-60-8", "image-90-3"}
    assert history.version > version


def test_priors_go_by_the_date_of_the_image(out: Path) -> None:
    exams = History(out).refresh()
    assert [exam.id for exam in exams_of(exams, "=EVIL\x1b[31m")] == ["image-0-4", "image-30-9", "image-60-8"]


@pytest.mark.parametrize("value", ["yesterday", "", None])
def test_a_date_that_cannot_be_read_is_no_date(value: str | None) -> None:
    report = an_exam(3, 0).report
    assert Exam("x", replace(report, image=replace(report.image, acquired_at=value)), 1.0).acquired_at is None
