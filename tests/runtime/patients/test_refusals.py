"""Which refusals say something about a patient: every code is decided, none by accident."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from exam_makers import failed_report, scored_report, skipped_report

from lungsev.patient import PatientInfo
from lungsev.quality.messages import FLAG_CODES, make_flag
from lungsev.runtime.patients.refusals import FILE_CODES, FRONTAL_CODES, UNCLEAR_CODES, is_about_patient

ROOT = Path(__file__).resolve().parents[3]


def codes_that_are_raised() -> set[str]:
    """The codes of every SkippedImageError in the sources."""
    return {
        code
        for folder in ("lungsev", "runtime")
        for path in (ROOT / folder).rglob("*.py")
        for code in re.findall(r'SkippedImageError\(\s*"(\w+)"', path.read_text(encoding="utf-8"))
    }


def test_every_code_is_decided_once() -> None:
    gate = {code for code in FLAG_CODES if make_flag(code).severity == "refuse"}
    assert gate | {"quality"} == FRONTAL_CODES | UNCLEAR_CODES
    assert codes_that_are_raised() == FILE_CODES
    assert not FILE_CODES & (FRONTAL_CODES | UNCLEAR_CODES)
    assert not FRONTAL_CODES & UNCLEAR_CODES


@pytest.mark.parametrize("view", ["AP", "PA", "LL", "", None])
@pytest.mark.parametrize("code", sorted(FRONTAL_CODES | UNCLEAR_CODES | FILE_CODES))
def test_only_a_refused_frontal_image_of_a_patient_counts(code: str, view: str | None) -> None:
    report = replace(skipped_report(), reason=code)
    report = replace(report, image=replace(report.image, view=view))
    frontal = view in ("AP", "PA")
    expected = code in FRONTAL_CODES or (code in UNCLEAR_CODES and frontal)
    assert is_about_patient(report) is expected
    assert not is_about_patient(replace(report, patient=PatientInfo())), "nobody's image"


def test_a_score_always_counts_and_a_damaged_file_never() -> None:
    assert is_about_patient(scored_report(None))
    assert not is_about_patient(replace(failed_report(), patient=PatientInfo(id="WARD-1")))
