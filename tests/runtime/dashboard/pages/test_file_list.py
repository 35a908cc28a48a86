"""Files without a score."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from exam_makers import courses_of, failed_report, labels, scored_report, skipped_report

from lungsev.runtime.dashboard.pages.file_list import FILES_PER_PAGE, FileLine, files_page
from lungsev.runtime.patients.history import Exam
from lungsev.standing import OutputState

NOW = datetime(2026, 11, 22, 12, 0).astimezone()


def test_files_come_with_patient_reason_and_age_the_last_one_first() -> None:
    lateral = replace(skipped_report("WARD-1"), reason="lateral", message="Taken from the side.")
    exams = {
        "a": Exam("a", lateral, NOW.timestamp() - 7200),
        "b": Exam("b", replace(failed_report(), message=None), NOW.timestamp() - 600),
        "c": Exam("c", scored_report(), NOW.timestamp()),
        "d": Exam("d", skipped_report(), NOW.timestamp()),
    }
    page = files_page(courses_of(exams).values(), labels(), NOW)
    assert page.lines == (
        FileLine("b", "", "No reason was recorded.", "10 min ago"),
        FileLine("a", "WARD-1", "Taken from the side.", "2 h ago"),
    )
    assert page.unwritten == ()


def test_results_that_could_not_be_written_come_with_their_reasons() -> None:
    outputs = (
        OutputState("hl7", "missing", "The UID is too long."),
        OutputState("dicom_sr", "missing"),
        OutputState("csv"),
    )
    exams = {"a": Exam("a", replace(scored_report(), outputs=outputs), NOW.timestamp())}
    (line,) = files_page(courses_of(exams).values(), labels(), NOW).unwritten
    assert (line.patient, line.message) == ("WARD-1", "hl7: The UID is too long.; dicom sr: No reason was recorded.")


def test_long_lists_have_pages() -> None:
    exams = {f"f{i:03d}": Exam(f"f{i:03d}", failed_report(), NOW.timestamp() - i) for i in range(FILES_PER_PAGE + 3)}
    page = files_page(courses_of(exams).values(), labels(), NOW, page=2)
    assert [line.exam_id for line in page.lines] == [f"f{i:03d}" for i in range(FILES_PER_PAGE, FILES_PER_PAGE + 3)]
