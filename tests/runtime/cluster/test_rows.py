from __future__ import annotations

import json
from dataclasses import replace

from bedside_images import MODEL, QuickModel, png

from lungsev.report import SeverityReport
from lungsev.runtime.cluster.rows import make_row
from lungsev.runtime.cluster.sources import Item
from lungsev.runtime.outputs.csv_file import COLUMNS, report_rows

REPORT = QuickModel().score(png(1))
ITEM = Item("s3://bucket/ward/image.dcm", "bucket/ward/image.dcm", "etag")


def test_a_row_has_the_values_of_the_csv_table_with_their_types() -> None:
    report = REPORT
    row = make_row(ITEM, report)
    cells = dict(zip(COLUMNS, report_rows("image.dcm", report)[0], strict=True))
    assert list(row) == ["source", "source_version", *COLUMNS, "message", "scores", "report"]
    assert {name: "" if row[name] is None else str(row[name]) for name in COLUMNS} == cells
    assert isinstance(row["total"], int)
    assert isinstance(row["expected"], float)
    assert (row["source"], row["source_version"], row["report"]) == (ITEM.name, "etag", None)


def test_every_scheme_is_there_with_the_probabilities_of_each_region() -> None:
    report = REPORT
    scores = make_row(ITEM, report)["scores"]
    assert [score["scheme"] for score in scores] == list(report.scores)
    for score in scores:
        expected = report.scores[score["scheme"]]
        assert score["total"] == expected.total
        assert (score["total_low"], score["total_high"]) == (expected.total_interval or (None, None))
        assert [(region["code"], region["grade"]) for region in score["regions"]] == [
            (region.code, region.grade) for region in expected.regions
        ]
        assert [region["probabilities"] for region in score["regions"]] == [
            list(region.probabilities or ()) for region in expected.regions
        ]


def test_a_row_of_several_schemes_has_the_columns_of_the_main_one() -> None:
    report = REPORT
    (name,) = report.scores
    both = replace(report, scores={"other": replace(report.scores[name], total_max=99), name: report.scores[name]})
    row = make_row(ITEM, both)
    assert row["scheme"] == both.main_scheme == "brixia"
    assert [score["scheme"] for score in row["scores"]] == ["other", "brixia"]


def test_the_report_is_kept_where_it_was_asked_for() -> None:
    report = REPORT
    assert SeverityReport.from_json(json.dumps(json.loads(make_row(ITEM, report, True)["report"]))) == report


def test_an_image_without_a_score_has_a_reason_and_no_number() -> None:
    skipped = SeverityReport("skipped", REPORT.image, MODEL, reason="not_frontal_chest", message="It is a hand.")
    failed = SeverityReport("failed", REPORT.image, MODEL, error="truncated", message="The file ends early.")
    for report, code in ((skipped, "not_frontal_chest"), (failed, "truncated")):
        row = make_row(ITEM, report)
        assert (row["reason"], row["message"]) == (code, report.message)
        assert (row["total"], row["grades"], row["scores"]) == (None, None, [])
