"""The store of decisions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from exam_makers import MODEL, scored_report, skipped_report
from partial_scores import with_lungs, without_zones

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.runtime.patients.decisions import Decisions, read_decisions
from lungsev.runtime.patients.standing import standing_of

REPORT = scored_report()  # 0 1 2 3 2 1
JANE, ANNA = PatientInfo(name="DOE^JANE", sex="F"), PatientInfo(name="SMITH^ANNA")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Decisions]:
    with closing(Decisions(tmp_path)) as store:
        yield store


def test_every_decision_has_a_number_by_which_another_process_reads_what_is_new(
    store: Decisions, tmp_path: Path
) -> None:
    store.correct("a", REPORT, "brixia", {"A": 2}, "effusion", "AB")
    with closing(Decisions(tmp_path)) as other:
        assert [item.kind for item in other.log().decisions] == ["correction"]
        store.agree("a", REPORT, "CD")
        store.supersede("a", "b", "another patient id")
        assert [(item.seq, item.kind) for item in other.log().decisions] == [
            (1, "correction"), (2, "agreement"), (3, "superseded"),
        ]  # fmt: skip
        assert other.last_seq() == store.last_seq() == 3
    assert read_decisions(tmp_path).last_seq == 3


def test_a_folder_without_decisions_is_left_as_it_is(tmp_path: Path) -> None:
    assert read_decisions(tmp_path).decisions == []
    assert list(tmp_path.iterdir()) == []


def test_no_decision_can_be_changed_or_removed(store: Decisions, tmp_path: Path) -> None:
    store.agree("a", REPORT, "CD")
    with closing(sqlite3.connect(tmp_path / "corrections.sqlite")) as connection:
        for statement in ("DELETE FROM decisions", "UPDATE decisions SET reason = ''"):
            with pytest.raises(sqlite3.IntegrityError, match="decisions are never"):
                connection.execute(statement)


def test_a_correction_holds_the_whole_grades_of_its_scheme(store: Decisions) -> None:
    assert store.correct("a", REPORT, "brixia", {"A": 2, "B": 1}, "effusion", "AB") == 1
    assert store.correct("a", REPORT, "brixia", {"A": 2}, "again", "AB") == 0
    assert store.correct("a", REPORT, "brixia", {"A": 1, "F": 0}, "effusion", "CD") == 2
    first, second = store.log().decisions
    assert first.details["grades"] == {"A": 2, "B": 1, "C": 2, "D": 3, "E": 2, "F": 1}
    changed = {region: tuple(grades) for region, grades in second.details["regions"].items()}
    assert changed == {"A": (0, 2, 1), "F": (1, 1, 0)}, "of the model, before, now"
    assert "regions" not in store.agree("a", REPORT, "EF").details


def test_who_agrees_signs_the_grades_that_stand_once(store: Decisions) -> None:
    store.correct("a", REPORT, "brixia", {"A": 2}, "effusion", "AB")
    agreed = store.agree("a", REPORT, " C  D ")
    assert (agreed.by, agreed.reason, agreed.details["grades"]["brixia"]["A"]) == ("C D", "", 2)
    assert store.agree("a", REPORT, "C D") == agreed
    assert store.agree("a", REPORT, "EF") != agreed
    standing = standing_of("a", REPORT, store.log())
    assert (standing.state, standing.by) == ("agreed", "EF")


def test_what_cannot_be_signed_is_refused_with_a_reason(store: Decisions) -> None:
    with pytest.raises(ValueError, match="no score to agree with"):
        store.agree("c", skipped_report(), "AB")
    with pytest.raises(ValueError, match="give your name"):
        store.agree("a", REPORT, " ")
    store.supersede("a", "b", "another patient id")
    with pytest.raises(ValueError, match="another image replaced this one"):
        store.agree("a", REPORT, "AB")
    with pytest.raises(ValueError, match="another image replaced this one"):
        store.correct("a", REPORT, "brixia", {"A": 2}, "effusion", "AB")
    with pytest.raises(ValueError, match="give a reason"):
        store.merge("A", "B", (), "", "AB")
    with pytest.raises(ValueError, match="found one identity twice"):
        store.merge("A", "A", (), "a reason", "AB")
    with pytest.raises(ValueError, match="describe one person"):
        store.split("A", (JANE, PatientInfo(name="Doe^J")), "a reason", "AB")
    assert [item.kind for item in store.log().decisions] == ["superseded"]


def test_an_image_is_replaced_once_and_never_in_a_circle(store: Decisions) -> None:
    first = store.supersede("a", "b", "another patient id")
    assert store.supersede("a", "b", "another patient id") == first
    assert store.supersede("b", "c", "another patient id", by="AB").by == "AB"
    for old, new in (("c", "a"), ("c", "c")):
        with pytest.raises(ValueError, match="cannot be replaced"):
            store.supersede(old, new, "a circle")
    assert store.last_seq() == 2


def test_a_message_is_stored_once(store: Decisions) -> None:
    first = store.merge("A", "B", (JANE, ANNA, JANE), "HL7 A40", "ADT", "hl7", "control-1")
    assert store.merge("A", "B", (JANE,), "HL7 A40", "ADT", "hl7", "control-1") == first
    assert store.last_seq() == 1
    assert first.people == ((JANE, ANNA),)
    assert store.log().decisions[0] == first


def test_an_identity_is_split_by_what_its_images_describe(store: Decisions) -> None:
    split = store.split("A", (JANE, ANNA, PatientInfo(name="Doe^J")), "two people", "AB")
    assert [[item.name for item in group] for group in split.people] == [["DOE^JANE", "Doe^J"], ["SMITH^ANNA"]]
    assert store.same_person("A", (JANE, ANNA), "married", "AB").people == ((JANE, ANNA),)


def test_what_was_decided_wrongly_is_taken_back_once(store: Decisions) -> None:
    merge = store.merge("A", "B", (), "same person", "AB")
    undo = store.undo(merge.seq, "wrong", "CD")
    assert (undo.subject, undo.object, undo.details) == ("A", "B", {"undoes": 1})
    assert not store.log().counts(merge)
    for seq, message in ((1, "taken back before"), (2, "not taken back"), (9, "no decision 9")):
        with pytest.raises(ValueError, match=message):
            store.undo(seq, "wrong", "CD")


def test_a_new_score_is_recorded_once_with_both_opinions(store: Decisions) -> None:
    new = scored_report(grades="111111", model=MODEL)
    first = store.record_rescored("a", REPORT, new)
    assert store.record_rescored("a", REPORT, new) == first
    assert first.reason == "Scored again with lungsev-brixia 1.2.0."
    standing = standing_of("a", new, store.log())
    assert [entry.grades["brixia"]["A"] for entry in standing.history] == [1]
    assert standing.first_model == first.details["first_model"]
    assert store.request_rescore(("a", "b"), "new model", "AB").details == {"images": ["a", "b"]}


def test_two_readers_at_once_both_count(store: Decisions, tmp_path: Path) -> None:
    def correct(region: str) -> None:
        with closing(Decisions(tmp_path)) as own:
            own.correct("a", REPORT, "brixia", {region: 3}, "effusion", region)

    threads = [threading.Thread(target=correct, args=(region,)) for region in "ABC"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert standing_of("a", REPORT, store.log()).grades["brixia"] == {"A": 3, "B": 3, "C": 3, "D": 3, "E": 2, "F": 1}


def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="cannot open"):
        Decisions(tmp_path / "none")


@pytest.mark.parametrize(
    ("scheme", "grades", "reason", "reader", "message"),
    [
        ("brixia", {"A": 2}, " ", "AB", "give a reason of 1 to 500 characters"),
        ("brixia", {"A": 2}, "x" * 501, "AB", "give a reason"),
        ("brixia", {"A": 2}, "x", "\n", "give your name or initials, 1 to 60 characters"),
        ("brixia", {"A": 2}, "x", "y" * 61, "give your name or initials"),
        ("brixia", {"A": 4}, "x", "y", "scheme brixia has no region A with grade 4"),
        ("brixia", {"A": 2, "Z": 1}, "x", "y", "scheme brixia has no region Z with grade 1"),
        ("inha", {"A": 2}, "x", "y", "this X-ray has no inha score to correct"),
    ],
)
def test_a_correction_that_cannot_be_meant_is_refused_with_a_reason(
    store: Decisions, scheme: str, grades: dict[str, int], reason: str, reader: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        store.correct("a", REPORT, scheme, grades, reason, reader)
    assert store.log().decisions == []


def test_the_longest_reason_and_name_are_stored_with_single_spaces(store: Decisions) -> None:
    assert store.correct("a", REPORT, "brixia", {"A": 2}, "x" * 500, "y" * 60) == 1
    assert store.correct("a", REPORT, "brixia", {"A": 3}, "  pleural \n effusion ", " A  B ") == 1
    assert (store.log().decisions[-1].reason, store.log().decisions[-1].by) == ("pleural effusion", "A B")


def test_a_zone_that_cannot_be_assessed_is_signed_without_a_grade(store: Decisions) -> None:
    assert store.correct("a", REPORT, "brixia", {"A": None, "B": 1}, "the arm lies over it", "AB") == 1
    details = store.log().decisions[-1].details
    assert details["regions"] == {"A": [0, 0, None]}
    assert details["grades"] == {"A": None, "B": 1, "C": 2, "D": 3, "E": 2, "F": 1}
    standing = standing_of("a", REPORT, store.log())
    assert standing.grades == {"brixia": {"B": 1, "C": 2, "D": 3, "E": 2, "F": 1}}
    with pytest.raises(ValueError, match="give at least one region a grade"):
        store.correct("a", REPORT, "brixia", dict.fromkeys("ABCDEF"), "nothing to see", "AB")


def test_a_reader_grades_a_zone_that_the_model_did_not(store: Decisions) -> None:
    report = without_zones(REPORT, "C")
    store.agree("a", report, "AB")
    assert standing_of("a", report, store.log()).grades == {"brixia": {"A": 0, "B": 1, "D": 3, "E": 2, "F": 1}}
    assert store.correct("a", report, "brixia", {"C": 3}, "there is lung", "AB") == 1
    assert store.log().decisions[-1].details["regions"] == {"C": [None, None, 3]}
    stood = replace(report, standing=standing_of("a", report, store.log()))
    assert stood.standing_score("brixia").words == "10 of 18"


def test_who_agrees_signs_the_main_scheme_alone(store: Decisions) -> None:
    report = with_lungs(REPORT)
    store.agree("a", report, "AB")
    assert list(standing_of("a", report, store.log()).grades) == ["brixia"]
