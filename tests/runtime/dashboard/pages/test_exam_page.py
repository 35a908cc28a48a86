"""The page of one image, field by field."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

from exam_makers import (
    WRITTEN_AT,
    courses_of,
    exams_by_id,
    failed_report,
    labels,
    scheme_score,
    scored_report,
    signed,
    skipped_report,
)
from partial_scores import with_lungs, without_zones

from lungsev.report import Quality, QualityFlag, Timing
from lungsev.runtime.dashboard.pages.exam_page import ExamPage, ImageRow, exam_page
from lungsev.runtime.patients.history import Exam
from lungsev.standing import OutputState, Standing, StandingEntry

NOW = datetime(2026, 11, 22, 12, 0).astimezone()
SIDE_FLAG = QualityFlag("side_not_verified", "warn", "The file does not say which side is which.")


def all_layers(_exam_id: str) -> Collection[str]:
    return ("image", "map", "overlay")


def page_of(exam_id: str, exams: dict[str, Exam], *, private: bool = False, **options: Any) -> ExamPage:
    exam = exams[exam_id]
    course = courses_of(exams)[exam.course]
    return exam_page(exam, course, labels(private=private), NOW, **{"layers_of": all_layers, **options})


def a_course() -> dict[str, Exam]:
    """Three images of one patient, the last one refused, and one image of another patient."""
    return exams_by_id(
        a1=scored_report(taken="2026-11-20T08:00:00", grades="000111"),
        a2=scored_report(taken="2026-11-21T08:00:00", grades="012321"),
        a3=skipped_report("WARD-1", "2026-11-22T08:00:00"),
        b1=scored_report("WARD-2"),
    )


def test_the_head_says_who_which_image_when_and_which_view() -> None:
    page = page_of("a2", a_course())
    assert (page.exam_id, page.patient, page.number, page.count) == ("a2", "WARD-1", 2, 3)
    assert (page.taken, page.age, page.view) == ("21 Nov 2026, 08:00", "28 h ago", "AP")
    assert (page.previous_id, page.next_id) == ("a1", "a3")
    assert page.layers == {"image", "map", "overlay"}
    assert (page.outcome, page.wrong, page.order_note) == ("", "", "")


def test_the_first_and_the_last_image_have_one_neighbour() -> None:
    exams = a_course()
    assert (page_of("a1", exams).previous_id, page_of("a1", exams).next_id) == (None, "a2")
    assert (page_of("a3", exams).previous_id, page_of("a3", exams).next_id) == ("a2", None)


def test_what_the_header_does_not_say_is_said_so() -> None:
    page = page_of("x", {"x": Exam("x", scored_report(taken=None, view=None), NOW.timestamp() - 7200)})
    assert (page.taken, page.age, page.view) == (
        "date not recorded; received 22 Nov 2026, 10:00",
        "2 h ago",
        "not recorded",
    )
    assert page.images[0].view == "not recorded"


def test_the_result_holds_total_interval_change_and_grades() -> None:
    page = page_of("a2", a_course())
    result = page.result
    assert result is not None
    assert (result.scheme, result.title, result.grades) == ("brixia", "Brixia score", (0, 1, 2, 3))
    assert [grade for grade, _ in result.grade_names] == [0, 1, 2, 3]
    assert result.grade_names[0] == (0, "no abnormality")
    assert (result.total, result.total_max, result.model_total) == (9, 18, 9)
    assert (result.interval, result.coverage_percent) == ((7, 11), 80)
    assert result.sentence == "Probably worse, 84 %: +6 points in 24 h since the previous X-ray."
    assert [(zone.code, zone.before, zone.after) for zone in result.region_changes] == [("C", 0, 2), ("D", 1, 3)]
    assert [(zone.code, zone.grade, zone.previous) for zone in result.zones] == [
        ("A", 0, 0), ("B", 1, 0), ("C", 2, 0), ("D", 3, 1), ("E", 2, 1), ("F", 1, 1),
    ]  # fmt: skip
    assert [right.code + left.code for right, left in result.pairs] == ["AD", "BE", "CF"]
    assert page.refusal is None


def test_signed_grades_replace_the_models_of_this_and_of_the_previous_image() -> None:
    exams = a_course()
    exams["a1"], exams["a2"] = signed(exams["a1"], F=3), signed(exams["a2"], A=3)
    page = page_of("a2", exams)
    assert page.result is not None
    assert (page.result.total, page.result.model_total, page.result.interval) == (12, 9, None)
    assert page.result.signature == "corrected by AB, model said 9"
    assert (page.result.zones[0].grade, page.result.zones[5].previous) == (3, 3)
    assert page.picture is not None
    assert page.prior is not None
    assert page.picture.caption == "This X-ray, total 12 of 18, corrected by AB"
    assert page.prior.caption == "Previous scored X-ray, 20 Nov 2026, 08:00, total 5 of 18, corrected by AB"
    assert page.images[1:] == (
        ImageRow("a2", "21 Nov 2026, 08:00", "AP", "12 of 18, corrected by AB, model said 9", "", True, True),
        ImageRow("a1", "20 Nov 2026, 08:00", "AP", "5 of 18, corrected by AB, model said 3", "", True, False),
    )
    assert [(row.state, row.total) for row in page.history] == [("Model", "9"), ("Corrected", "12")]


def test_who_agrees_takes_the_models_grades_upon_oneself() -> None:
    exams = a_course()
    exams["a2"] = signed(exams["a2"], "agreed", "Dr B")
    page = page_of("a2", exams)
    assert page.result is not None
    assert (page.result.total, page.result.interval, page.result.signature) == (9, None, "agreed by Dr B")
    assert page.can_be_signed


def replaced(exam: Exam, by: str) -> Exam:
    standing = Standing("superseded", superseded_by=by, reason="The header was corrected.")
    return replace(exam, report=replace(exam.report, standing=standing))


def test_a_replaced_image_says_by_which_and_is_in_no_course() -> None:
    exams = a_course()
    exams["a1"] = replaced(exams["a1"], "b1")
    page = page_of("a1", exams)
    assert (page.replaced_by, page.number, page.count, page.can_be_signed) == ("b1", 0, 2, False)
    assert page.prior is None
    assert page.images[-1].remark == "replaced by another X-ray"
    assert not page.images[-1].counts
    newer = page_of("a2", exams)
    assert (newer.number, newer.previous_id, newer.prior, newer.chart) == (1, None, None, None)


def test_behind_a_red_stop_nothing_is_compared() -> None:
    exams = {
        name: replace(exam, report=replace(exam.report, stop="Two people may share this patient id."))
        for name, exam in a_course().items()
    }
    page = page_of("a2", exams)
    assert page.identity.stop == "Two people may share this patient id."
    assert (page.prior, page.chart) == (None, None)
    assert page.result is not None
    assert page.result.sentence is None


def test_images_of_one_day_without_an_hour_have_no_order() -> None:
    exams = exams_by_id(a1=scored_report(taken="2026-11-20"), a2=scored_report(taken="2026-11-20"))
    page = page_of("a2", exams)
    assert page.order_note == "same day as the X-ray before, order unknown"
    assert (page.taken, page.age) == ("20 Nov 2026, time not recorded", "2 days ago")
    assert [row.remark for row in page.images] == ["same day as the X-ray before, order unknown", ""]
    assert page.prior is not None
    assert page.prior.caption.startswith("Scored X-ray of the same day, order unknown, 20 Nov 2026, time not recorded")
    assert page.result is not None
    assert all(zone.previous is None for zone in page.result.zones), "nothing was before or after"


def test_outputs_that_could_not_be_written_are_named_with_the_reason() -> None:
    missing = OutputState("hl7", "missing", "The UID has 72 characters.")
    report = replace(scored_report(), outputs=(OutputState("json"), missing))
    assert page_of("x", exams_by_id(x=report)).missing == (missing,)


def test_the_state_of_a_page_follows_what_is_said_and_nothing_else() -> None:
    exams = a_course()
    before = page_of("a1", exams).state
    assert page_of("a2", exams).state == before
    assert page_of("a1", {**exams, "a2": replace(exams["a2"], written_at=WRITTEN_AT + 9)}).state == before
    assert page_of("a1", {**exams, "b1": signed(exams["b1"], A=3)}).state == before
    for other in (signed(exams["a2"], A=3), signed(exams["a2"], "agreed"), replaced(exams["a2"], "b1")):
        assert page_of("a1", {**exams, "a2": other}).state != before


def test_the_picture_has_the_images_size_zones_and_sides() -> None:
    exams = a_course()
    exams |= exams_by_id(a2=scored_report(taken="2026-11-21T08:00:00", flags=(SIDE_FLAG,)))
    page = page_of("a2", exams)
    assert page.picture is not None
    assert page.prior is not None
    assert (page.picture.exam_id, page.picture.columns, page.picture.rows) == ("a2", 200, 200)
    assert (page.picture.side_note, page.prior.side_note) == (" ?", "")
    assert page.picture.caption == "This X-ray, total 9 of 18"
    assert [zone.grade for zone in page.picture.zones] == [0, 1, 2, 3, 2, 1]
    assert (page.prior.exam_id, [zone.grade for zone in page.prior.zones]) == ("a1", [0, 0, 0, 1, 1, 1])


def test_an_image_of_unknown_size_is_drawn_in_one_pixel() -> None:
    report = scored_report()
    page = page_of("x", exams_by_id(x=replace(report, image=replace(report.image, rows=None, columns=None))))
    assert page.picture is not None
    assert (page.picture.columns, page.picture.rows) == (1, 1)


def test_without_its_file_there_is_no_picture() -> None:
    exams = a_course()
    page = page_of("a2", exams, layers_of=lambda exam_id: ["image"] if exam_id == "a1" else ["overlay"])
    assert (page.picture, page.layers) == (None, {"overlay"})
    assert page.prior is not None
    assert page_of("a2", exams, layers_of=lambda exam_id: ["image"] if exam_id == "a2" else []).prior is None


def test_the_previous_scored_image_is_compared_and_only_under_the_same_scheme() -> None:
    exams = exams_by_id(
        a1=scored_report(taken="2026-11-19T08:00:00"),
        a2=scored_report(taken="2026-11-20T08:00:00", grades="1355", scheme="inha"),
        a3=skipped_report("WARD-1", "2026-11-20T09:00:00"),
        a4=scored_report(taken="2026-11-21T08:00:00", grades="1111", scheme="inha"),
        a5=scored_report(taken="2026-11-22T08:00:00"),
    )
    fourth, fifth = page_of("a4", exams), page_of("a5", exams)
    assert fourth.prior is not None
    assert (fourth.prior.exam_id, fourth.prior.caption) == (
        "a2",
        "Previous scored X-ray, 20 Nov 2026, 08:00, total 14 of 20",
    )
    assert fifth.prior is None
    assert fifth.result is not None
    assert all(zone.previous is None for zone in fifth.result.zones)


def test_a_scheme_of_ones_own_has_its_name_as_title_and_no_grade_names() -> None:
    report = scored_report()
    page = page_of("x", exams_by_id(x=replace(report, scores={"ward": scheme_score("012321")})))
    assert page.result is not None
    assert (page.result.title, page.result.grade_names, page.result.grades) == ("ward", (), (0, 1, 2, 3))


def test_the_title_ends_at_its_first_comma() -> None:
    page = page_of("x", exams_by_id(x=scored_report(grades="012321012321", scheme="mbrixia")))
    assert page.result is not None
    assert page.result.title == "Modified Brixia score"


def test_a_refused_image_says_why_and_has_no_number() -> None:
    page = page_of("a3", a_course())
    assert (page.result, page.picture, page.prior) == (None, None, None)
    assert page.refusal == ("This is not a frontal chest radiograph.", "Skipped, code not_frontal_chest.")
    assert page.images[0] == ImageRow(
        "a3", "22 Nov 2026, 08:00", "AP", "no score: This is not a frontal chest radiograph.", "", True, True
    )


def test_a_file_that_could_not_be_read_says_where_it_is() -> None:
    page = page_of("f", exams_by_id(f=replace(failed_report(), message=None)))
    assert page.refusal == (
        "No reason was recorded.", "Could not be read; the file is in quarantine, code truncated.",
    )  # fmt: skip
    assert page.images[0].result == "no score: No reason was recorded."
    assert (page.origin, page.chart) == (None, None)


def test_flags_that_repeat_the_reason_are_left_out() -> None:
    reason = QualityFlag("not_frontal_chest", "refuse", "This is not a frontal chest radiograph.")
    report = replace(skipped_report(), quality=Quality("refused", (reason, SIDE_FLAG), {"lung_fraction": 0.314}))
    page = page_of("x", exams_by_id(x=report))
    assert page.flags == (SIDE_FLAG,)
    assert page.measures == (("lung fraction", "0.31"),)


def test_the_origin_names_model_device_and_time() -> None:
    page = page_of("x", exams_by_id(x=replace(scored_report(), timing_ms=Timing(total=48.6))))
    assert page.origin == "Model lungsev-brixia 1.2.0 (0f0f0f0f), onnxruntime on cpu, fp32; 49 ms."


def test_a_chart_needs_two_dated_scores() -> None:
    exams = a_course()
    chart = page_of("a2", exams).chart
    assert chart is not None
    assert [(point.exam_id, point.current) for point in chart.points] == [("a1", False), ("a2", True)]
    assert chart.unscored == 1
    assert page_of("b1", exams).chart is None
    of_refused = page_of("a3", exams).chart
    assert of_refused is not None
    assert not any(point.current for point in of_refused.points)


def test_a_score_without_a_date_has_no_sentence() -> None:
    page = page_of("x", exams_by_id(x=scored_report(taken=None), y=scored_report()))
    assert page.result is not None
    assert (page.result.sentence, page.result.region_changes) == (None, ())


def test_ids_can_be_hidden() -> None:
    assert page_of("a1", a_course()).patient == "WARD-1"
    assert page_of("a1", a_course(), private=True).patient.startswith("Patient ")


def test_a_result_of_five_zones_has_no_total_and_says_out_of_what_it_is() -> None:
    exams = exams_by_id(
        a1=scored_report(taken="2026-11-20T08:00:00", grades="012321"),
        a2=with_lungs(without_zones(scored_report(taken="2026-11-21T08:00:00", grades="012321"), "C")),
    )
    page = page_of("a2", exams)
    assert page.result is not None
    assert (page.result.total, page.result.words, page.result.likely) == (None, "7 of 15 (5 of 6 zones)", (5, 9))
    assert page.result.scheme == "brixia"
    assert [line.partition(":")[0] for line in page.result.others] == [
        "RALO geographic extent per lung", "RALO degree of opacity per lung",
    ]  # fmt: skip
    assert page.picture is not None
    assert page.picture.caption == "This X-ray, sum 7 of 15 (5 of 6 zones)"
    assert page.images[0].result == "7 of 15 (5 of 6 zones)"
    assert page.flags[-1].code == "zone_not_assessable"


def test_the_history_says_which_zone_was_left_out() -> None:
    exams = exams_by_id(a1=without_zones(scored_report(grades="012321"), "C"))
    report = exams["a1"].report
    entry = StandingEntry(
        "corrected",
        "2026-11-22T10:00:00+00:00",
        "AB",
        "x",
        {"brixia": dict(zip("BCDEF", (1, 2, 3, 2, 1), strict=True))},
    )
    standing = Standing("corrected", 2, entry.grades, "AB", entry.at, "x", history=(entry,))
    page = page_of("a1", {"a1": replace(exams["a1"], report=replace(report, standing=standing))})
    assert [row.total for row in page.history] == ["7 (5 of 6 zones)", "9 (5 of 6 zones)"]
    assert page.history[1].changes == "A 0 to not assessable, C not assessable to 2"
