"""Codes of regions, totals and quality flags."""

from __future__ import annotations

import inspect

import pytest
from exam_makers import scheme_score

from lungsev.runtime.outputs import codes
from lungsev.runtime.outputs.codes import Code, interval_codes, model_total_code, quality_code, region_code, total_code
from lungsev.schemes import builtin_schemes, load_scheme


def test_regions_and_totals_have_private_codes() -> None:
    assert region_code("brixia", "A") == Code("BRIXIA-A", "99LUNGSEV", "brixia score, region A")
    assert total_code("brixia") == Code("BRIXIA-TOTAL", "99LUNGSEV", "brixia score, total")
    assert interval_codes("brixia") == (
        Code("BRIXIA-LOW", "99LUNGSEV", "brixia total, lower end of interval"),
        Code("BRIXIA-HIGH", "99LUNGSEV", "brixia total, upper end of interval"),
    )


@pytest.mark.parametrize("direction", ["worse", "better", "none", "unknown"])
def test_every_direction_of_change_has_a_code_that_fits_into_dicom(direction: str) -> None:
    code = codes.direction_code(direction)
    assert code.value == f"CHANGE-{direction.upper()}"
    assert len(code.value) <= 16


def test_a_flag_has_its_code_and_a_readable_meaning() -> None:
    assert quality_code("lung_outline_doubtful") == Code("LUNG_OUTLINE_DOUBTFUL", "99LUNGSEV", "Lung outline doubtful")


def test_values_and_meanings_fit_into_dicom() -> None:
    long = "x" * 90
    for code in (region_code(long, long), total_code(long), model_total_code(long), *interval_codes(long)):
        assert (len(code.value), len(code.meaning)) == (16, 64)
    assert len(quality_code(long).meaning) == 64


def test_no_two_regions_of_a_scheme_share_a_code() -> None:
    for name in builtin_schemes():
        found = [region_code(name, region.code).value for region in load_scheme(name).regions]
        assert len(set(found)) == len(found), name


def test_codes_of_terminologies_are_those_of_the_standard() -> None:
    found = {name: value for name, value in inspect.getmembers(codes) if isinstance(value, Code)}
    assert {code.value: code.scheme for code in found.values()} == {
        "24028007": "SCT", "7771000": "SCT", "39607008": "SCT", "74101002": "SCT", "281392002": "SCT",
        "281393007": "SCT", "281394001": "SCT", "30746-2": "LN", "{score}": "UCUM",
        "%": "UCUM", "113014": "DCM", "112002": "DCM",
        "QUALITY": "99LUNGSEV", "WARNING": "99LUNGSEV", "NOTE": "99LUNGSEV", "ACQUIRED": "99LUNGSEV",
        "CHANGE": "99LUNGSEV", "CHANGE-PROB": "99LUNGSEV", "SOP-UID": "99LUNGSEV", "ASSESSMENT": "99LUNGSEV",
        "NOT-ASSESSABLE": "99LUNGSEV", "NO-TOTAL": "99LUNGSEV",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("scheme", "region", "site", "laterality"),
    [
        ("brixia", "A", codes.UPPER_ZONE, codes.RIGHT), ("brixia", "E", codes.MIDDLE_ZONE, codes.LEFT),
        ("brixia", "F", codes.LOWER_ZONE, codes.LEFT), ("ralo", "R", codes.LUNG, codes.RIGHT),
        ("extent", "LUNGS", codes.LUNG, None),
    ],
)  # fmt: skip
def test_a_region_has_a_site_and_a_side(scheme: str, region: str, site: Code, laterality: Code | None) -> None:
    grades = str(load_scheme(scheme).grades[0]) * load_scheme(scheme).num_regions
    found = {item.code: item for item in scheme_score(grades, scheme).regions}
    assert codes.region_site(found[region]) == (site, laterality)
