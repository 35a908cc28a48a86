"""The red stop with the values that disagree."""

from __future__ import annotations

from dataclasses import replace

from exam_makers import courses_of, exams_by_id, labels, scored_report

from lungsev.patient import PatientInfo
from lungsev.report import SeverityReport
from lungsev.runtime.dashboard.pages.identity_panel import Difference, IdentityPanel, identity_panel, patients_of
from lungsev.standing import Standing

JANE = PatientInfo("4711", name="DOE^JANE", birth_date="1961-04-02", sex="F")
RICHARD = PatientInfo("4711", name="ROE^RICHARD", birth_date="1950-12-24", sex="F")


def report(patient: PatientInfo, stop: str | None = "Two people may share this patient id.") -> SeverityReport:
    return replace(scored_report("4711"), patient=patient, stop=stop)


def panel_of(exam_id: str, private: bool = False, **reports: SeverityReport) -> IdentityPanel:
    exams = exams_by_id(**reports)
    course = courses_of(exams)[exams[exam_id].course]
    return identity_panel(exams[exam_id], course, labels(private=private))


def test_each_value_that_disagrees_is_shown_with_the_number_of_images() -> None:
    panel = panel_of("c", a=report(JANE), b=report(JANE), c=report(RICHARD))
    assert panel.differences == (
        Difference("name", (("ROE, RICHARD", "1 X-ray"), ("DOE, JANE", "2 X-rays")), "ROE, RICHARD"),
        Difference("birth date", (("24 Dec 1950", "1 X-ray"), ("2 Apr 1961", "2 X-rays")), "24 Dec 1950"),
    )
    assert (panel.stop, panel.can_split, panel.has_id) == ("Two people may share this patient id.", True, True)


def test_in_privacy_mode_only_the_stop_is_said() -> None:
    panel = panel_of("a", private=True, a=report(JANE), b=report(RICHARD))
    assert (panel.differences, panel.is_hidden) == ((), True)
    assert panel.stop is not None


def test_without_a_stop_nothing_is_shown() -> None:
    panel = panel_of("a", a=report(JANE, None), b=report(RICHARD, None))
    assert (panel.stop, panel.differences) == (None, ())


def test_an_image_that_was_replaced_describes_nobody() -> None:
    gone = replace(report(RICHARD), standing=Standing("superseded", superseded_by="a"))
    exams = exams_by_id(a=report(JANE), b=gone)
    assert patients_of(courses_of(exams)[exams["a"].course]) == [JANE]


def test_an_image_without_an_id_cannot_be_merged() -> None:
    assert not panel_of("a", a=scored_report(None)).has_id
