"""Reports and reasons read back from a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from exam_makers import WRITTEN_AT, course_exam, scored_report

from lungsev.errors import LungsevError
from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.report import SeverityReport
from lungsev.runtime.patients import history as history_module
from lungsev.runtime.patients.courses import Courses
from lungsev.runtime.patients.history import Exam, History

START = datetime(2026, 3, 2, 8, 15).astimezone()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "reports").mkdir()
    for hours, total in ((0, 4), (30, 9), (60, 8)):
        exam = course_exam(total, hours, patient="=EVIL\x1b[31m")
        (tmp_path / "reports" / f"{exam.id}.json").write_text(exam.report.to_json(), encoding="utf-8")
    (tmp_path / "reports" / "broken.json").write_text("{", encoding="utf-8")
    return tmp_path


def test_history_reads_a_report_once_and_notices_what_comes_and_goes(out: Path) -> None:
    history = History(out)
    first = history.refresh()
    version = history.version
    assert len(first) == 3
    assert history.refresh()["image-0-4"] is first["image-0-4"]
    assert history.version == version
    exam = course_exam(3, 90)
    (out / "reports" / f"{exam.id}.json").write_text(exam.report.to_json(), encoding="utf-8")
    (out / "reports" / "image-0-4.json").unlink()
    assert set(history.refresh()) == {"image-30-9", "image-60-8", "image-90-3"}
    assert history.version > version


def course_of(exams: Mapping[str, Exam], course: str) -> Sequence[Exam]:
    courses = Courses()
    courses.update((), exams.values())
    return courses.of(course)


def test_priors_go_by_the_date_of_the_image(out: Path) -> None:
    exams = History(out).refresh()
    course = PatientInfo(id="=EVIL\x1b[31m").key or ""
    assert [exam.id for exam in course_of(exams, course)] == ["image-0-4", "image-30-9", "image-60-8"]


def test_an_exam_has_a_patient_a_moment_and_an_id_of_its_own() -> None:
    dated, undated = course_exam(3, 0), Exam("x", scored_report(None, None), 1_000_000.0)
    assert (dated.patient, dated.acquired_at, dated.moment) == ("PHANTOM-1", START, START)
    assert (undated.patient, undated.acquired_at) == ("(no patient id) x", None)
    assert undated.moment == datetime.fromtimestamp(1_000_000.0, timezone.utc)
    moment = Moment("2026-11-20T08:00:00", "second", "+02:00", "value")
    zoned = Exam("z", replace(scored_report(), acquired=moment), WRITTEN_AT)
    assert zoned.acquired_at == datetime(2026, 11, 20, 6, tzinfo=timezone.utc)


def test_a_moment_in_the_future_or_before_1980_is_no_moment() -> None:
    for taken in ("1900-01-01T00:00:00", "2031-01-01T00:00:00"):
        exam = Exam("x", scored_report(taken=taken), WRITTEN_AT)
        assert (exam.acquired, exam.moment) == (None, exam.received_at)


def test_reports_beside_their_images_are_found_where_there_is_no_folder_of_reports(tmp_path: Path) -> None:
    (tmp_path / "image.dcm.json").write_text(scored_report().to_json(), encoding="utf-8")
    history = History(tmp_path)
    assert (history.folder, history.version) == (tmp_path, 0)
    assert list(history.refresh()) == ["image.dcm"]


def test_files_in_quarantine_are_failed_exams_with_their_reason(out: Path) -> None:
    (out / "quarantine").mkdir()
    reason = {"error": "damaged", "message": "The file broke off."}
    (out / "quarantine" / "q1.reason.json").write_text(json.dumps(reason), encoding="utf-8")
    for name, text in (("q2", "[]"), ("q3", '{"error": "x"}'), ("q4", "{")):
        (out / "quarantine" / f"{name}.reason.json").write_text(text, encoding="utf-8")
    exams = History(out).refresh()
    assert set(exams) == {"image-0-4", "image-30-9", "image-60-8", "q1"}
    report = exams["q1"].report
    assert (report.status, report.error, report.message) == ("failed", "damaged", "The file broke off.")


def test_hidden_large_and_other_files_are_passed_over(out: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = scored_report().to_json()
    (out / "reports" / ".hidden.json").write_text(text, encoding="utf-8")
    (out / "reports" / "notes.txt").write_text(text, encoding="utf-8")
    (out / "reports" / "large.json").write_text(text + " " * (4 << 20), encoding="utf-8")
    exams = History(out).refresh()
    assert "large" in exams, "read up to four MiB"
    assert not {".hidden", "notes", "notes.txt"} & set(exams)
    assert [record.getMessage() for record in caplog.records] == [
        "a file among the reports is not a report: ValueError"
    ]


def test_the_stamp_changes_with_files_of_both_folders(out: Path) -> None:
    history = History(out)
    assert len(history.stamp()) == 1
    (out / "quarantine").mkdir()
    before = history.stamp()
    assert len(before) == 2
    os.utime(out / "quarantine", ns=(1, 1))
    assert history.stamp()[0] == before[0]
    assert history.stamp()[1] == 1


def test_a_changed_report_is_read_again_and_written_at_is_its_time(out: Path) -> None:
    history = History(out)
    history.refresh()
    version = history.version
    path = out / "reports" / "image-0-4.json"
    path.write_text(scored_report(grades="333333").to_json(), encoding="utf-8")
    os.utime(path, (1_000_000, 1_000_000))
    exam = history.refresh()["image-0-4"]
    assert exam.report.scores["brixia"].total == 18
    assert exam.written_at == 1_000_000
    assert history.version == version + 1
    history.refresh()
    assert history.version == version + 1


def test_images_of_a_patient_are_sorted_by_time_then_id() -> None:
    exams = {exam.id: exam for exam in (course_exam(3, 9), course_exam(3, 0, name="b"), course_exam(3, 0, name="a"),
                                        course_exam(3, 0, patient="OTHER"))}  # fmt: skip
    assert [exam.id for exam in course_of(exams, PatientInfo(id="PHANTOM-1").key or "")] == ["a", "b", "image-9-3"]


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LungsevError) as caught:
        History(tmp_path / "none").refresh()
    assert str(caught.value) == (
        f"cannot read reports in {tmp_path / 'none'}: No such file or directory; "
        "give the folder that watch or score wrote"
    )


def test_a_report_is_read_up_to_four_mebibytes_and_no_further(out: Path) -> None:
    text = scored_report().to_json().encode()
    (out / "reports" / "large.json").write_bytes(text + b" " * ((4 << 20) - len(text)) + b"x")
    (out / "reports" / "too-early.json").write_bytes(text + b" " * ((4 << 20) - len(text) - 1) + b"x")
    exams = History(out).refresh()
    assert "large" in exams
    assert "too-early" not in exams


def test_a_link_that_leads_nowhere_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "gone")
    assert not History(tmp_path).refresh()
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("lungsev.runtime.patients.history", "a file among the reports is not a report: FileNotFoundError")
    ]


def put(out: Path, name: str, report: SeverityReport) -> None:
    """Write as the watcher does: under another name, then renamed."""
    part = out / "reports" / f".{name}.part"
    part.write_text(report.to_json(), encoding="utf-8")
    part.rename(out / "reports" / f"{name}.json")


def settled(out: Path) -> None:
    """Set the folder's time back: its clock has ticked since the last change."""
    before = (out / "reports").stat().st_mtime_ns - 10**9
    os.utime(out / "reports", ns=(before, before))


def test_following_looks_at_no_file_while_the_folder_stays_the_same(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(out)
    settled(out)
    first = history.follow()
    monkeypatch.setattr(os, "scandir", lambda _path: pytest.fail("looked at the files"))
    assert history.follow() is first
    assert history.version == 1


def test_following_reads_a_new_and_a_replaced_report_and_no_other(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(out)
    history.follow()
    read: list[str] = []
    original = history_module._read
    monkeypatch.setattr(history_module, "_read", lambda path, suffix: read.append(path.name) or original(path, suffix))
    put(out, "new", scored_report())
    put(out, "image-0-4", scored_report(grades="333333"))
    exams = history.follow()
    assert sorted(read) == ["image-0-4.json", "new.json"]
    assert exams["image-0-4"].report.scores["brixia"].total == 18
    (out / "reports" / "new.json").unlink()
    assert "new" not in history.follow()
    assert len(read) == 2


def test_two_changes_within_a_tick_of_the_clock_are_both_seen(out: Path) -> None:
    history = History(out)
    for name in ("one", "two", "three"):
        put(out, name, scored_report())
        assert name in history.follow()


def test_an_image_was_received_when_the_watcher_named_it_however_late_its_report_was_written_again() -> None:
    exam = Exam("20261120T080000-0123abcd", scored_report(taken=None), 1_900_000_000.0)
    assert exam.received_at == datetime(2026, 11, 20, 8, tzinfo=timezone.utc)
    assert Exam("20261120T080000-0123abcd", scored_report(), 1_000_000.0).received_at.timestamp() == 1_000_000
    assert Exam("20269999T080000-x", scored_report(), 1_000_000.0).received_at.timestamp() == 1_000_000


@pytest.mark.parametrize(
    ("taken", "by"),
    [("2026-11-20T08:00:00", "2026-11-20T08:00:00.999999"), ("2026-11-20", "2026-11-20T23:59:59.999999"),
     ("2026-11-22", "2026-11-22T10:00:00"), ("2026-11-23T09:00:00", "2026-11-22T10:00:00"),
     ("2099-01-01", "2026-11-22T10:00:00"), (None, "2026-11-22T10:00:00")],
)  # fmt: skip
def test_an_image_was_taken_by_the_end_of_what_its_time_may_mean_and_before_it_was_received(
    taken: str | None, by: str
) -> None:
    received = datetime(2026, 11, 22, 10).astimezone()
    exam = Exam("x", scored_report(taken=taken), received.timestamp())
    assert exam.taken_by == datetime.fromisoformat(by).astimezone()
