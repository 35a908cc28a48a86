"""Which images show one person, and the red stop."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from decision_makers import decision, people
from hypothesis import given
from hypothesis import strategies as st

from lungsev.patient import PatientInfo
from lungsev.runtime.patients.decision import Decision, DecisionLog
from lungsev.runtime.patients.identity import Identities


def patient(key: str, name: str | None = None, birth: str | None = None) -> PatientInfo:
    return PatientInfo(id=key, name=name, birth_date=birth)


JANE, ANNA, EVA = patient("1", "DOE^JANE"), patient("1", "SMITH^ANNA"), patient("1", "MEYER^EVA")
A, B, C = (patient(key).key or "" for key in "123")


def identities(*decisions: Decision) -> Identities:
    return Identities(DecisionLog.of(decisions))


def stops(found: Identities, course: Sequence[PatientInfo]) -> list[bool]:
    return [found.stop("image", course, item) is not None for item in course]


def test_an_images_course_is_its_identity_or_itself() -> None:
    assert identities().course("image", patient("1")) == A
    assert identities().course("image", PatientInfo()) == "image"
    issued = PatientInfo(id="1", issuer="WARD")
    assert identities().course("image", issued) != A


def test_images_of_one_identity_that_disagree_are_stopped_with_what_disagrees() -> None:
    found = identities()
    assert stops(found, [JANE, JANE]) == [False, False]
    assert stops(found, [JANE, ANNA]) == [True, True]
    stop = found.stop("image", [patient("1", "A^B", "1950-01-01"), patient("1", "C^D", "1960-01-01")], JANE)
    assert stop is not None
    assert "differ in name and birth date. Merge, split or confirm" in stop


def test_a_confirmed_person_is_not_stopped_until_another_description_comes() -> None:
    found = identities(decision(1, "same_person", A, None, people((JANE, ANNA))))
    assert stops(found, [JANE, ANNA, patient("1", "DOE^J")]) == [False, False, False]
    assert stops(found, [JANE, ANNA, EVA]) == [True, True, True]
    found = identities(
        decision(1, "same_person", A, None, people((JANE, ANNA))), decision(2, "same_person", A, None, people((EVA,)))
    )
    assert stops(found, [JANE, ANNA, EVA]) == [False, False, False]


def test_a_merge_leads_every_image_to_the_identity_that_stays_and_vouches_for_who_is_there() -> None:
    other = patient("2", "SMITH^ANNA")
    found = identities(decision(1, "merge", A, B, people((JANE, other))))
    assert found.course("x", JANE) == found.course("y", other) == B
    assert stops(found, [JANE, other]) == [False, False]
    assert stops(found, [JANE, other, patient("2", "MEYER^EVA")]) == [True, True, True]
    assert found.keys_with(A) == found.keys_with(B) == {A, B}
    assert found.keys_with(C) == {C}


def test_chains_of_merges_and_merges_in_a_circle_end_in_one_identity() -> None:
    chain = identities(decision(1, "merge", A, B), decision(2, "merge", B, C))
    assert {chain.root(key) for key in (A, B, C)} == {C}
    assert chain.keys_with(B) == {A, B, C}
    circle = identities(decision(1, "merge", A, B), decision(2, "merge", B, C), decision(3, "merge", C, A))
    assert {circle.root(key) for key in (A, B, C)} == {A}
    twice = identities(decision(1, "merge", A, B), decision(2, "merge", A, B))
    assert (twice.root(A), twice.root(B)) == (B, B)


def test_a_merge_that_was_taken_back_is_none() -> None:
    found = identities(decision(1, "merge", A, B), decision(2, "undo", A, B, {"undoes": 1}))
    assert found.root(A) == A


def test_a_split_identity_is_two_courses_and_a_third_person_is_stopped() -> None:
    found = identities(decision(7, "split", A, None, people((JANE,), (ANNA,))))
    assert [found.course("x", item) for item in (JANE, ANNA, patient("1", "DOE^J"))] == [
        f"{A}#7.0", f"{A}#7.1", f"{A}#7.0",
    ]  # fmt: skip
    assert found.course("x", EVA) == f"{A}#7.x"
    assert stops(found, [JANE]) == [False]
    for unclear in (EVA, patient("1")):
        stop = found.stop("x", [unclear], unclear)
        assert stop is not None
        assert "fits none of them" in stop


def test_a_person_of_a_split_identity_can_be_merged_into_another() -> None:
    split = decision(1, "split", A, None, people((JANE,), (ANNA,)))
    found = identities(split, decision(2, "merge", f"{A}#1.1", B, people((ANNA,))))
    assert [found.course("x", item) for item in (JANE, ANNA)] == [f"{A}#1.0", B]
    assert found.keys_with(B) == {A, B}


@pytest.mark.parametrize("kind", ["same_person", "merge"])
def test_the_last_decision_about_an_identity_counts(kind: str) -> None:
    split = decision(1, "split", A, None, people((JANE,), (ANNA,)))
    later = decision(2, "merge", A, B, people((JANE, ANNA)))
    if kind == "same_person":
        later = decision(2, "same_person", A, None, people((JANE, ANNA)))
    found = identities(split, later)
    assert found.course("x", JANE) == found.course("y", ANNA)
    assert stops(found, [JANE, ANNA]) == [False, False]
    again = identities(split, later, decision(3, "split", A, None, people((JANE,), (ANNA,))))
    assert again.course("x", JANE) != again.course("y", ANNA)


def test_a_merged_identity_is_known_by_the_one_that_remains() -> None:
    found = identities(decision(1, "merge", A, B, people((JANE,))), decision(2, "merge", B, C, people((JANE,))))
    assert found.merged_into("image", JANE) == patient("3")
    assert found.merged_into("image", patient("3", "ROE^RITA")) is None
    assert found.merged_into("image", PatientInfo()) is None
    assert identities().merged_into("image", JANE) is None


def test_one_person_of_a_split_identity_is_merged_alone() -> None:
    split = decision(1, "split", A, None, people((JANE,), (ANNA,)))
    course = identities(split).course("image", JANE)
    found = identities(split, decision(2, "merge", course, B, people((JANE,))))
    assert (found.merged_into("image", JANE), found.merged_into("image", ANNA)) == (patient("2"), None)


KEYS = [patient(str(number)).key or "" for number in range(5)]
MERGES = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(KEYS), st.booleans()), max_size=12)


@given(MERGES)
def test_after_any_merges_the_courses_are_those_that_the_standing_merges_join(
    merges: list[tuple[str, str, bool]],
) -> None:
    made = [(one, other, taken_back) for one, other, taken_back in merges if one != other]
    decisions = [decision(seq, "merge", one, other) for seq, (one, other, _) in enumerate(made, 1)]
    undone = [
        decision(len(made) + seq, "undo", one, other, {"undoes": seq})
        for seq, (one, other, taken_back) in enumerate(made, 1)
        if taken_back
    ]
    found = identities(*decisions, *undone)
    groups = {key: {key} for key in KEYS}
    for one, other, taken_back in made:
        if not taken_back:
            joined = groups[one] | groups[other]
            groups.update(dict.fromkeys(joined, joined))
    for key in KEYS:
        assert {other for other in KEYS if found.root(other) == found.root(key)} == groups[key]
        assert found.keys_with(key) == groups[key]
        assert found.root(key) in groups[key]
