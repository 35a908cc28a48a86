"""Patients whose ids a spreadsheet or a typist changed are named, those who differ are not."""

from __future__ import annotations

import pytest

from lungsev.train.data.patient_spellings import alike, rows_alike, spelling_advice


@pytest.mark.parametrize(
    "spellings",
    [
        *(("012", "12", "12.0"), ("P01", "p01"), ("P1", "p-01"), ("12,00", "12"), ("Anna  B", "anna b")),
        *(("１２", "12"), ("P01", "P01\u200b"), ("P01", "\u00a0P01 ")),
        *(("1.23E+11", "123000000000"), ("1,23E+11", "1.23e11"), ("1.23457E+11", "123456789012", "0123456789012")),
        *(("1E+4", "9996"), ("2E+12", "1999999999999")),
    ],
)
def test_spellings_of_one_patient_are_found(spellings: tuple[str, ...]) -> None:
    assert alike([*spellings, "other"]) == [tuple(sorted(spellings))]


@pytest.mark.parametrize(
    "patients",
    [
        ("12", "120"),
        ("1-2", "12"),
        ("P1", "Q1"),
        ("1.5", "15"),
        ("10", "1"),
        ("0", ""),
        ("e+1", "1"),
        ("12345", "12346"),
    ],
)
def test_patients_who_differ_are_told_apart(patients: tuple[str, ...]) -> None:
    assert alike(patients) == []
    assert spelling_advice(patients) == []


def test_the_advice_counts_them_and_shows_the_first() -> None:
    patients = [text for number in range(1, 6) for text in (str(number), f"{number}.0", f"0{number}")]
    (advice,) = spelling_advice(patients)
    assert "(5: 01 = 1 = 1.0; 02 = 2 = 2.0; 03 = 3 = 3.0; ...)" in advice
    assert "spell each one way" in advice


def test_numbers_that_a_spreadsheet_cut_are_named_though_nobody_is_spelled_like_them() -> None:
    assert alike(["1.23457E+11", "123999999999", "1.3E+11"]) == []
    (advice,) = spelling_advice(["1.23457E+11", "123999999999", "1.3E+11"])
    assert "patients whose number a spreadsheet cut (2, e.g. 1.23457E+11)" in advice


def test_rows_of_one_patient_are_pairs_of_the_first_of_each_spelling() -> None:
    assert rows_alike(["p2", "12", "p3", "012", "12", "12.0"]) == [(3, 1), (3, 5)]
