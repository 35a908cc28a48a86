"""Patients whose ids a spreadsheet or a typist changed are named, those who differ are not."""

from __future__ import annotations

import pytest

from lungsev.train.dataset_check.patient_spellings import alike, spelling_advice


@pytest.mark.parametrize(
    "spellings",
    [("012", "12", "12.0"), ("P01", "p01"), ("P1", "p-01"), ("12,00", "12"), ("Anna  B", "anna b"), ("１２", "12")],
)
def test_spellings_of_one_patient_are_found(spellings: tuple[str, ...]) -> None:
    assert alike([*spellings, "other"]) == [tuple(sorted(spellings))]


@pytest.mark.parametrize(
    "patients", [("12", "120"), ("1-2", "12"), ("P1", "Q1"), ("1.5", "15"), ("10", "1"), ("0", "")]
)
def test_patients_who_differ_are_told_apart(patients: tuple[str, ...]) -> None:
    assert alike(patients) == []
    assert spelling_advice(patients) == []


def test_the_advice_counts_them_and_shows_the_first() -> None:
    patients = [text for number in range(1, 6) for text in (str(number), f"{number}.0", f"0{number}")]
    (advice,) = spelling_advice(patients)
    assert "(5: 01 = 1 = 1.0; 02 = 2 = 2.0; 03 = 3 = 3.0; ...)" in advice
    assert "spell each patient one way" in advice
