"""Decisions in their order, and descriptions of patients grouped into people."""

from __future__ import annotations

from decision_makers import decision

from lungsev.patient import PatientInfo
from lungsev.runtime.patients.decision import DecisionLog, person_of, tell_apart

JANE = PatientInfo(name="DOE^JANE", birth_date="1950-01-01", sex="F")
JANE_SHORT = PatientInfo(name="Doe^J")
ANNA = PatientInfo(name="SMITH^ANNA", birth_date="1950-01-01", sex="F")


def test_people_are_told_apart_by_what_disagrees() -> None:
    assert tell_apart([JANE_SHORT, ANNA, JANE, JANE]) == ((ANNA,), (JANE, JANE_SHORT))
    assert tell_apart([JANE, JANE_SHORT]) == ((JANE, JANE_SHORT),)
    assert tell_apart([PatientInfo(), PatientInfo(id="1")]) == ()


def test_a_description_that_fits_several_people_is_none_of_them() -> None:
    people = tell_apart([JANE, ANNA, PatientInfo(sex="F")])
    assert people == ((ANNA,), (JANE,))
    assert person_of(JANE_SHORT, people) == 1
    assert person_of(PatientInfo(sex="F"), people) is None
    assert person_of(PatientInfo(name="MEYER^EVA"), people) is None


def test_what_was_taken_back_no_longer_counts_but_stays_in_the_log() -> None:
    merge = decision(1, "merge", "A", "B")
    undo = decision(2, "undo", "A", "B", {"undoes": 1})
    log = DecisionLog.of([merge, undo])
    assert log.identity_decisions() == []
    assert (log.undo_of(merge), log.counts(merge), log.counts(undo)) == (undo, False, True)
    assert log.about("A") == [merge, undo]
    assert list(log.counting("A", "merge")) == []
    assert (log.last_seq, log.decision(1), log.decision(3)) == (2, merge, None)


def test_the_newest_replacement_of_an_image_is_found() -> None:
    first, second = decision(1, "superseded", "a", "c"), decision(2, "superseded", "b", "c")
    assert DecisionLog.of([first, second]).replaced("c") == second
    assert DecisionLog.of([first, second]).replaced("a") is None
    undo = decision(3, "undo", "b", "c", {"undoes": 2})
    assert DecisionLog.of([first, second, undo]).replaced("c") == first
    assert DecisionLog().last_seq == 0
