from __future__ import annotations

from dataclasses import replace

import pytest

from lungsev.patient import PatientInfo, disagreements

JANE = PatientInfo(id="4711", issuer="HOSP-A", name="DOE^JANE", birth_date="1950-01-02", sex="F")


def test_an_identity_is_the_id_with_its_issuer_and_qualifiers() -> None:
    others = [
        replace(JANE, issuer="HOSP-B"),
        replace(JANE, issuer=None),
        replace(JANE, id="4711 "),
        replace(JANE, qualifiers={"universal_id": "1.2"}),
        replace(JANE, id="12\\34"),
        replace(JANE, id="12\\99"),
    ]
    assert len({patient.key for patient in [JANE, *others]}) == 7
    assert replace(JANE, name="ROE^RICHARD").key == JANE.key
    assert PatientInfo().key is None


@pytest.mark.parametrize(
    ("name", "agrees"),
    [
        ("doe^jane", True),
        ("Doe^Jane^Anne", True),
        ("DOE^J", True),
        ("DOE", True),
        ("DOË^JANE", True),
        ("", True),
        ("DOE^JOHN", False),
        ("ROE^JANE", False),
        ("Yamada^Tarou=山田^太郎", False),
    ],
)
def test_names_agree_regardless_of_case_accents_and_further_names(name: str, agrees: bool) -> None:
    assert disagreements([JANE, replace(JANE, name=name)]) == (() if agrees else ("name",))


def test_one_representation_of_a_name_is_enough() -> None:
    one = replace(JANE, name="Yamada^Tarou=山田^太郎=やまだ^たろう")
    assert disagreements([one, replace(JANE, name="=山田^太郎")]) == ()


def test_birth_date_and_sex_disagree_where_both_are_known() -> None:
    assert disagreements([JANE, replace(JANE, birth_date=None, sex=None)]) == ()
    assert disagreements([JANE, replace(JANE, birth_date="1990-02-02", sex="M")]) == ("birth date", "sex")
    assert disagreements([replace(JANE, name=None), replace(JANE, sex=None), replace(JANE, sex="M")]) == ("sex",)


def test_a_key_leads_back_to_the_identity() -> None:
    full = replace(JANE, qualifiers={"universal_id": "1.2"})
    assert PatientInfo.from_key(full.key or "") == PatientInfo("4711", "HOSP-A", {"universal_id": "1.2"})
    assert PatientInfo.from_key("20261128T074701-c53c2902") is None
