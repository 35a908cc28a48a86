from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from exam_makers import put_report, scored_report
from hl7_samples import a40

from lungsev.patient import PatientInfo
from lungsev.runtime.hl7.merge import read_merge
from lungsev.runtime.hl7.merge_recorder import MergeRecorder
from lungsev.runtime.hl7.message import Hl7Error
from lungsev.runtime.patients.decisions import Decisions, read_decisions
from lungsev.runtime.patients.identity import Identities

Put = Callable[..., None]
JANE = PatientInfo("4711", "HOSP-A", name="DOE^JANE", birth_date="1956-01-02", sex="F")
UNKNOWN = PatientInfo("EMERG-9", "HOSP-A", name="UNKNOWN^FEMALE")


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Puts a report of an image with this patient into the output folder."""
    (tmp_path / "reports").mkdir()

    def put_image(image: str, patient: PatientInfo) -> None:
        put_report(tmp_path, image, replace(scored_report(), patient=patient), with_image=False)

    return put_image


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[MergeRecorder]:
    with closing(MergeRecorder(tmp_path, None)) as recorder:
        yield recorder


def record(recorder: MergeRecorder, message: str) -> int:
    return len(recorder.record(read_merge(message.encode())))


def course(out: Path, patient: PatientInfo) -> str:
    return Identities(read_decisions(out)).course("image", patient)


def stop(out: Path, *patients: PatientInfo) -> str | None:
    return Identities(read_decisions(out)).stop("image", patients, patients[0])


def test_the_images_of_both_ids_are_one_course_signed_by_the_sender_and_without_a_stop(
    put: Put, recorder: MergeRecorder, tmp_path: Path
) -> None:
    put("a", JANE)
    put("b", UNKNOWN)
    assert course(tmp_path, UNKNOWN) != course(tmp_path, JANE)
    assert record(recorder, a40()) == 1
    assert course(tmp_path, UNKNOWN) == course(tmp_path, JANE) == JANE.key
    assert stop(tmp_path, JANE, UNKNOWN) is None
    (decision,) = read_decisions(tmp_path).decisions
    assert (decision.kind, decision.by, decision.source) == ("merge", "HL7 A40 from WARD", "hl7")
    assert decision.reason == "Merged in the hospital's patient index (HL7 A40, message MSG00001)."


def test_a_merge_that_comes_twice_counts_once(put: Put, recorder: MergeRecorder, tmp_path: Path) -> None:
    put("a", JANE)
    put("b", UNKNOWN)
    assert [record(recorder, a40(control=control)) for control in ("1", "1", "2")] == [1, 0, 0]
    assert len(read_decisions(tmp_path).decisions) == 1


def test_a_merge_that_was_taken_back_comes_again_only_with_a_new_message(
    put: Put, recorder: MergeRecorder, tmp_path: Path
) -> None:
    put("a", JANE)
    put("b", UNKNOWN)
    record(recorder, a40(control="1"))
    with closing(Decisions(tmp_path)) as decisions:
        decisions.undo(1, "another person", "AB")
    record(recorder, a40(control="1"))
    assert course(tmp_path, UNKNOWN) == UNKNOWN.key
    record(recorder, a40(control="2"))
    assert course(tmp_path, UNKNOWN) == JANE.key


def test_a_merge_back_finds_one_patient_already(put: Put, recorder: MergeRecorder, tmp_path: Path) -> None:
    put("a", JANE)
    put("b", UNKNOWN)
    record(recorder, a40())
    assert record(recorder, a40(pid="EMERG-9^^^HOSP-A", mrg="4711^^^HOSP-A", control="2")) == 0
    assert course(tmp_path, UNKNOWN) == course(tmp_path, JANE)


@pytest.mark.parametrize("first", [JANE, UNKNOWN])
def test_an_image_that_comes_after_the_merge_is_of_the_course_too(
    put: Put, recorder: MergeRecorder, tmp_path: Path, first: PatientInfo
) -> None:
    put("a", replace(first, qualifiers={"id_type": "MR"}))
    record(recorder, a40())
    late = replace(UNKNOWN if first is JANE else JANE, qualifiers={"id_type": "MR"})
    assert course(tmp_path, late) == course(tmp_path, replace(first, qualifiers={"id_type": "MR"}))


@pytest.mark.parametrize("issuer", ["HOSP-A", None])
def test_a_merge_before_every_image_counts_whether_images_name_issuers_or_not(
    put: Put, recorder: MergeRecorder, tmp_path: Path, issuer: str | None
) -> None:
    assert record(recorder, a40()) == 2
    assert course(tmp_path, PatientInfo("EMERG-9", issuer)) == course(tmp_path, PatientInfo("4711", issuer))
    assert course(tmp_path, PatientInfo("EMERG-9", "HOSP-B")) != course(tmp_path, PatientInfo("4711", "HOSP-B"))


def test_images_without_an_issuer_are_meant_where_no_other_issuer_has_the_id(
    put: Put, recorder: MergeRecorder, tmp_path: Path
) -> None:
    put("a", PatientInfo("4711"))
    put("b", PatientInfo("EMERG-9"))
    assert record(recorder, a40()) == 1
    assert course(tmp_path, PatientInfo("EMERG-9")) == course(tmp_path, PatientInfo("4711"))
    put("c", PatientInfo("X", "HOSP-A"))  # another patient, whose issuer is known
    assert record(recorder, a40(mrg="NEW^^^HOSP-A", control="2")) == 1
    put("d", PatientInfo("4711", "HOSP-B"))
    with pytest.raises(Hl7Error, match="several issuers gave an id"):
        record(recorder, a40(pid="4711", mrg="OLD", control="3"))


def test_the_same_id_of_another_issuer_is_another_person(put: Put, recorder: MergeRecorder, tmp_path: Path) -> None:
    put("a", JANE)
    put("b", UNKNOWN)
    other = replace(UNKNOWN, issuer="HOSP-B")
    put("c", other)
    record(recorder, a40())
    assert course(tmp_path, UNKNOWN) == JANE.key
    assert course(tmp_path, other) == other.key


def test_ids_without_an_issuer_are_of_the_sites(put: Put, tmp_path: Path) -> None:
    put("a", JANE)
    put("b", UNKNOWN)
    put("c", replace(UNKNOWN, issuer="HOSP-B"))
    with closing(MergeRecorder(tmp_path, "HOSP-A")) as recorder:
        record(recorder, a40(pid="4711", mrg="EMERG-9"))
    assert course(tmp_path, UNKNOWN) == JANE.key


def test_images_that_disagree_among_themselves_are_not_vouched_for(
    put: Put, recorder: MergeRecorder, tmp_path: Path
) -> None:
    anna = replace(JANE, name="SMITH^ANNA", birth_date="1990-05-05")
    put("a", JANE)
    put("b", anna)
    put("c", UNKNOWN)
    record(recorder, a40())
    assert stop(tmp_path, JANE, anna, UNKNOWN) is not None
    assert stop(tmp_path, JANE, UNKNOWN) is None


def test_of_an_id_that_was_split_the_person_of_the_message_is_merged(
    put: Put, recorder: MergeRecorder, tmp_path: Path
) -> None:
    anna = replace(JANE, name="SMITH^ANNA", birth_date="1990-05-05")
    for image, patient in (("a", JANE), ("b", anna), ("c", UNKNOWN)):
        put(image, patient)
    with closing(Decisions(tmp_path)) as decisions:
        decisions.split(str(JANE.key), [JANE, anna], "two people", "AB")
    record(recorder, a40())
    assert course(tmp_path, UNKNOWN) == course(tmp_path, JANE) != course(tmp_path, anna)
    with pytest.raises(Hl7Error, match="split into several people"):
        record(recorder, a40(mrg="OTHER^^^HOSP-A", pid_rest="", control="2"))
    with pytest.raises(Hl7Error, match="split into several people"):
        record(recorder, a40(mrg="OTHER^^^HOSP-A", pid_rest="||NOBODY^ELSE||1900|M", control="3"))


def test_an_image_that_was_replaced_for_its_wrong_patient_does_not_count(
    put: Put, recorder: MergeRecorder, tmp_path: Path
) -> None:
    put("a", JANE)
    put("b", replace(UNKNOWN, issuer=None))
    put("c", UNKNOWN)
    with closing(Decisions(tmp_path)) as decisions:
        decisions.supersede("b", "c", "the patient was corrected")
    assert record(recorder, a40(mrg="EMERG-9")) == 1
    assert course(tmp_path, UNKNOWN) == JANE.key


def test_a_message_that_cannot_be_told_records_nothing(put: Put, recorder: MergeRecorder, tmp_path: Path) -> None:
    put("a", JANE)
    put("b", UNKNOWN)
    put("c", replace(UNKNOWN, issuer="HOSP-B"))
    ambiguous = a40() + "PID|2||4711^^^HOSP-A\rMRG|EMERG-9\r"
    with pytest.raises(Hl7Error, match="several issuers"):
        record(recorder, ambiguous)
    assert read_decisions(tmp_path).decisions == []
