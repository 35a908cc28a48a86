from __future__ import annotations

import io
from dataclasses import replace

import pytest
from exam_makers import failed_report, scored_report, skipped_report
from rich.console import Console

from lungsev.report import Quality, QualityFlag
from lungsev.runtime.console import count_line, count_noun, display_name, open_console, report_line, reports_table

SCORED = scored_report("P1", "2026-11-20T08:00:00", "012301")


@pytest.mark.parametrize(("count", "said"), [(0, "0 images"), (1, "1 image"), (2, "2 images")])
def test_a_count_agrees_with_its_noun(count: int, said: str) -> None:
    assert count_noun(count, "image") == said


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a.dcm", "a.dcm"), ("\x1b[31m", "\\x1b[31m"), ("\u202eb", "\\u202eb"), (b"\xff", "\\udcff"), ("é", "é")],
)
def test_a_name_cannot_drive_the_terminal(name: str | bytes, shown: str) -> None:
    assert display_name(name) == shown


def test_a_scored_image_is_one_line_with_the_patients_right_first() -> None:
    score = SCORED.scores["brixia"]
    low, high = score.total_interval
    expected = f"a.dcm  scored  brixia {score.total}/{score.total_max} ({low}-{high})  0 1 2 | 3 0 1"
    assert report_line("a.dcm", SCORED) == expected


def test_an_image_without_a_score_is_one_line_with_the_reason() -> None:
    for report in (skipped_report(), failed_report()):
        line = report_line("a.dcm", report)
        assert line.startswith(f"a.dcm  {report.status}  {report.reason or report.error}")
        assert not report.message or line.endswith(display_name(report.message))


def test_warnings_are_shown_and_information_is_not() -> None:
    flags = (QualityFlag("tilted", "warn", "The image is tilted."), QualityFlag("note", "info", "Nothing."))
    line = report_line("a.dcm", replace(SCORED, quality=Quality("warn", flags)))
    assert line.endswith("  The image is tilted.")


def test_the_table_has_a_row_for_every_image() -> None:
    stream = io.StringIO()
    Console(file=stream, width=140).print(reports_table([("a.dcm", SCORED), ("b.dcm", failed_report())], title="Ward"))
    text = stream.getvalue()
    assert "Ward" in text
    assert "0 1 2 | 3 0 1" in text
    assert "failed" in text


def test_statuses_are_counted_in_a_fixed_order() -> None:
    assert count_line([failed_report(), SCORED, SCORED]) == "2 scored, 0 skipped, 1 failed"


def test_a_pipe_gets_long_lines_whole_and_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    open_console().print("[bold]" + "x" * 300)
    open_console(stderr=True).print("note")
    printed = capsys.readouterr()
    assert printed.out == "[bold]" + "x" * 300 + "\n"
    assert printed.err == "note\n"
