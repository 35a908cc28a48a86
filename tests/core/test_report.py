"""The report: what may be in it, the way to JSON and back, and the published schema."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from importlib import resources
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.report import (
    DISCLAIMER,
    ImageInfo,
    ModelInfo,
    Quality,
    QualityFlag,
    RegionScore,
    SchemeScore,
    SeverityReport,
    Timing,
    format_likely,
)
from lungsev.standing import Standing

SCHEMA = json.loads((resources.files("lungsev") / "report_schema_v2.json").read_text(encoding="utf-8"))
MODEL = ModelInfo("lungsev-brixia", "1.2.0", "0f" * 32, "onnxruntime", "cpu", "fp32")

finite = st.floats(-1e4, 1e4, allow_nan=False)
chance = st.floats(0, 1)
words = st.text(min_size=1, max_size=12)
code = st.from_regex(r"[a-z0-9_]{1,20}", fullmatch=True)
maybe_words = st.none() | words
sha = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)

images = st.builds(
    ImageInfo,
    sop_instance_uid=maybe_words,
    patient_id=maybe_words,
    acquired_at=st.none() | st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds")),
    view=maybe_words,
    rows=st.none() | st.integers(1, 9999),
    columns=st.none() | st.integers(1, 9999),
    sha256=st.none() | sha,
)
region_scores = st.builds(
    RegionScore,
    code=st.from_regex(r"[A-Za-z0-9_-]{1,16}", fullmatch=True),
    name=words,
    side=st.sampled_from(["right", "left", "both"]),
    grade=st.integers(0, 5),
    expected=finite,
    probabilities=st.lists(chance, min_size=2, max_size=5).map(tuple),
    likely=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    polygon=st.lists(st.tuples(finite, finite), min_size=3, max_size=6).map(tuple),
)
scheme_scores = st.builds(
    SchemeScore,
    regions=st.lists(region_scores, min_size=1, max_size=6).map(tuple),
    total=st.integers(0, 60),
    total_expected=finite,
    total_interval=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    total_interval_coverage=st.floats(0.01, 0.99),
    total_max=st.integers(1, 60),
)
flags = st.builds(QualityFlag, code=code, severity=st.sampled_from(["info", "warn", "refuse"]), message=words)
timings = st.builds(Timing, *[st.floats(0, 1e6)] * 4)
alignments = st.tuples(st.tuples(finite, finite, finite), st.tuples(finite, finite, finite))


@st.composite
def reports(draw: st.DrawFn) -> SeverityReport:
    status = draw(st.sampled_from(["scored", "skipped", "failed"]))
    scored = status == "scored"
    return SeverityReport(
        status=status,
        image=draw(images),
        model=MODEL if scored else draw(st.none() | st.just(MODEL)),
        reason=draw(code) if status == "skipped" else None,
        error=draw(code) if status == "failed" else None,
        message=None if scored else draw(words),
        scores=draw(st.dictionaries(st.sampled_from(["brixia", "inha", "ralo"]), scheme_scores, min_size=1))
        if scored
        else {},
        quality=Quality(
            draw(st.sampled_from(["ok", "warn"] if scored else ["ok", "warn", "refused"])),
            tuple(draw(st.lists(flags, max_size=3))),
            draw(st.dictionaries(code, finite, max_size=3)),
        ),
        alignment=draw(st.none() | alignments) if scored else None,
        timing_ms=draw(timings),
    )


@settings(max_examples=40, deadline=None)
@given(reports())
def test_json_and_back_is_the_same_report(report: SeverityReport) -> None:
    assert SeverityReport.from_json(report.to_json()) == report


@settings(max_examples=40, deadline=None)
@given(reports())
def test_every_report_meets_the_published_schema(report: SeverityReport) -> None:
    jsonschema.validate(json.loads(report.to_json()), SCHEMA)


@settings(max_examples=40, deadline=None)
@given(reports().filter(lambda report: report.status != "scored"))
def test_a_radiograph_without_a_score_holds_nothing_that_looks_like_one(report: SeverityReport) -> None:
    data = report.to_dict()
    assert data["scores"] == {}
    assert "alignment" not in data
    del data["timing_ms"]  # the one honest "total"
    assert not ({"total", "grade", "expected", "probabilities"} & keys_of(data))


def test_the_schema_itself_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 3),
        (("status",), "done"),
        (("disclaimer",), "For clinical use."),
        (("surprise",), 1),
        (("image", "patient_name"), "Doe^Jane"),
        (("scores", "brixia", "regions"), []),
        (("scores", "brixia", "total"), 9.5),
        (("scores", "brixia", "regions", 0, "probabilities", 0), 1.2),
        (("quality", "verdict"), "refused"),
        (("reason",), "not_frontal_chest"),
        (("scores",), {}),
    ],
)
def test_the_schema_refuses(path: tuple[str | int, ...], value: Any) -> None:
    data = copy.deepcopy(a_scored_report().to_dict())
    jsonschema.validate(data, SCHEMA)
    target: Any = data
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)


def test_the_schema_refuses_scores_and_alignment_in_a_skipped_report() -> None:
    skipped = SeverityReport("skipped", ImageInfo(), reason="rotated", message="Turned by 90 degrees.").to_dict()
    jsonschema.validate(skipped, SCHEMA)
    for part in ("scores", "alignment"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**skipped, part: a_scored_report().to_dict()[part]}, SCHEMA)


@pytest.mark.parametrize(
    "parts",
    [
        {"status": "scored"},
        {"status": "skipped"},
        {"status": "failed"},
        {"status": "failed", "reason": "rotated", "error": "truncated"},
        {"status": "skipped", "reason": "rotated", "alignment": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))},
    ],
)
def test_contradictions_cannot_be_built(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="report"):
        SeverityReport(image=ImageInfo(), **parts)


def test_scores_cannot_be_given_to_a_failed_report() -> None:
    with pytest.raises(ValueError, match="looks like a score"):
        replace(a_scored_report(), status="failed", error="truncated")


@pytest.mark.parametrize("version", [0, 3, None, "2"])
def test_an_unknown_schema_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="schema version"):
        SeverityReport.from_dict({**a_scored_report().to_dict(), "schema_version": version})


def test_a_missing_part_is_a_value_error() -> None:
    data = a_scored_report().to_dict()
    del data["image"]
    with pytest.raises(ValueError, match="not a valid report"):
        SeverityReport.from_dict(data)


@pytest.mark.parametrize(
    "text", ["[]", '"report"', "1", '{"schema_version": 1, "image": []}', '{"schema_version": 1, "scores": []}']
)
def test_json_that_is_no_report_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        SeverityReport.from_json(text)


def test_the_error_names_the_part_and_quotes_no_value() -> None:
    data = a_scored_report().to_dict()
    data["image"]["rows"] = "Doe^Jane"
    with pytest.raises(ValueError, match=r"^not a valid report: image\.rows: ") as caught:
        SeverityReport.from_dict(data)
    assert "Doe" not in str(caught.value)


def test_a_report_that_was_written_before_regions_had_a_side_gets_it_from_their_names() -> None:
    data = a_scored_report().to_dict()
    (region,) = data["scores"]["brixia"]["regions"]
    names = ["right upper zone", "left lung", "both lungs", "rightmost"]
    data["scores"]["brixia"]["regions"] = [
        {**{key: value for key, value in region.items() if key != "side"}, "name": name} for name in names
    ]
    read = SeverityReport.from_json(json.dumps(data))
    assert [part.side for part in read.scores["brixia"].regions] == ["right", "left", "both", "both"]


def test_unknown_keys_are_ignored() -> None:
    report = a_scored_report()
    assert SeverityReport.from_dict({**report.to_dict(), "bed": {"number": 12}}) == report


def test_a_report_of_schema_version_1_is_read() -> None:
    old = a_scored_report().to_dict()
    for part in ("patient", "standing", "outputs"):
        del old[part]
    old |= {"schema_version": 1}
    old["image"] |= {"patient_id": "12", "acquired_at": "2026-11-18T06:50:00"}
    report = SeverityReport.from_json(json.dumps(old))
    assert (report.schema_version, report.patient, report.standing) == (2, PatientInfo(id="12"), Standing())
    assert report.acquired == Moment("2026-11-18T06:50:00", "second")


def test_what_a_reader_signed_stands_without_the_models_interval() -> None:
    report = a_scored_report()
    (scheme,) = report.scores
    plain = report.standing_score(scheme)
    assert (plain.total, plain.interval) == (report.scores[scheme].total, report.scores[scheme].total_interval)
    first = report.scores[scheme].regions[0]
    signed = replace(report, standing=Standing("corrected", grades={scheme: {first.code: first.grade + 1}}))
    score = signed.standing_score(scheme)
    assert (score.total, score.interval, score.model_total) == (plain.total + 1, None, plain.total)
    assert score.grades == {**plain.grades, first.code: first.grade + 1}


def test_the_red_stop_is_the_first_remark() -> None:
    report = a_scored_report()
    flags = tuple(flag.message for flag in report.quality.flags)
    assert report.remarks() == flags
    assert replace(report, stop="Two people.").remarks() == ("Two people.", *flags)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_not_a_number_never_reaches_json(number: float) -> None:
    with pytest.raises(ValueError):
        replace(a_scored_report(), timing_ms=Timing(total=number)).to_json()


def test_words_that_look_like_such_a_number_are_text() -> None:
    report = replace(a_scored_report(), image=ImageInfo(patient_id="NaN-Infinity"))
    assert SeverityReport.from_json(report.to_json()) == report


def test_json_is_unicode_with_every_key_in_the_order_of_the_classes() -> None:
    report = replace(a_scored_report(), image=ImageInfo(patient_id="Zoë"))
    text = report.to_json()
    assert '    "patient_id": "Zoë",\n' in text
    assert list(json.loads(text)) == [
        "status", "image", "model", "scores", "quality", "alignment", "timing_ms", "patient", "standing",
        "outputs", "schema_version", "disclaimer",
    ]  # fmt: skip
    assert json.loads(text) == report.to_dict() == json.loads(report.to_json(indent=None))


@pytest.mark.parametrize(
    ("name", "side", "place"),
    [
        ("right upper zone", "right", "upper"),
        ("left lower zone outer", "left", "lower outer"),
        ("right lung", "right", "lung"),
        ("both lungs", "both", "both lungs"),
        ("left", "left", "left"),
    ],
)
def test_the_place_of_a_region_is_its_name_without_the_side(name: str, side: Any, place: str) -> None:
    assert replace(a_region(), name=name, side=side).place == place


@pytest.mark.parametrize(
    ("likely", "words"),
    [
        ((2, 2), "likely 2"),
        ((1, 2), "could be 1–2"),
        ((1, 1), "could be 1–1"),
        ((0, 2), "unsure: 0–2"),
        ((0, 3), "unsure: 0–3"),
    ],
)
def test_likely_grades_are_said_in_words(likely: tuple[int, int], words: str) -> None:
    assert format_likely(replace(a_region(), likely=likely)) == words


@pytest.mark.parametrize(
    ("schemes", "shown"), [(["ralo", "brixia"], "brixia"), (["ralo", "inha"], "ralo"), (["brixia"], "brixia")]
)
def test_brixia_is_shown_first_and_else_the_first_scheme_of_the_model(schemes: list[str], shown: str) -> None:
    report = a_scored_report()
    assert replace(report, scores=dict.fromkeys(schemes, report.scores["brixia"])).main_scheme == shown


def test_an_image_without_a_score_has_no_main_scheme() -> None:
    with pytest.raises(ValueError, match="a failed report has no scheme"):
        _ = SeverityReport("failed", ImageInfo(), error="truncated").main_scheme


def test_the_disclaimer_is_in_every_report() -> None:
    assert json.loads(a_scored_report().to_json())["disclaimer"] == DISCLAIMER


def a_region() -> RegionScore:
    square = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
    return RegionScore("A", "right upper zone", "right", 2, 1.83, (0.05, 0.2, 0.62, 0.13), (1, 2), square)


def a_scored_report() -> SeverityReport:
    return SeverityReport(
        status="scored",
        image=ImageInfo(sop_instance_uid="1.2.3", acquired_at="2026-11-22T08:15:00", rows=2500, columns=2048),
        model=MODEL,
        scores={"brixia": SchemeScore((a_region(),), 2, 1.83, (1, 3), 0.8, 3)},
        alignment=((1.1, 0.0, 0.02), (0.0, 1.2, -0.05)),
    )


def keys_of(data: Any) -> set[str]:
    if isinstance(data, dict):
        return set(data) | {key for value in data.values() for key in keys_of(value)}
    if isinstance(data, list):
        return {key for value in data for key in keys_of(value)}
    return set()
