from __future__ import annotations

import pytest
from hl7_samples import ID_A, ID_B, a40

from lungsev.patient import PatientInfo
from lungsev.runtime.hl7.merge import Identifier, Merge, MergeMessage, read_merge
from lungsev.runtime.hl7.message import Hl7Error

HOSP_A = Identifier("4711", "HOSP-A", id_type="MR")
EMERGENCY = Identifier("EMERG-9", "HOSP-A", id_type="MR")


def read(message: str) -> MergeMessage:
    return read_merge(message.encode())


def one(message: str) -> Merge:
    (merge,) = read(message).merges
    return merge


def test_a_merge_names_who_remains_who_is_given_up_and_who_says_so() -> None:
    message = read(a40())
    assert (message.event, message.facility, message.application, message.control_id, message.sent_at) == (
        "A40", "WARD", "ADT", "MSG00001", "20261122081500+0100",
    )  # fmt: skip
    assert message.signature == "HL7 A40 from WARD"
    (merge,) = message.merges
    assert (merge.surviving, merge.prior, merge.pairs()) == ((HOSP_A,), (EMERGENCY,), ((EMERGENCY, HOSP_A),))
    assert merge.person == PatientInfo(
        "4711", "HOSP-A", {"id_type": "MR"}, name="DOE^JANE^M", birth_date="1956-01-02", sex="F"
    )


@pytest.mark.parametrize("event", ["ADT^A40", "ADT^A40^ADT_A39", "ADT^A18", "ADT^A34", "ADT^A36", "ADT^^ADT_A40"])
def test_the_older_merges_are_taken_too(event: str) -> None:
    assert read(a40(event=event)).event == event[-3:].replace("A39", "A40")


@pytest.mark.parametrize(("facility", "signature"), [("", "HL7 A40 from ADT"), ("W" * 90, f"HL7 A40 from {'W' * 47}")])
def test_the_signature_names_the_sender_and_fits(facility: str, signature: str) -> None:
    assert read(a40(facility=facility)).signature == signature


def test_control_characters_reach_no_screen() -> None:
    message = read(a40(facility="W\\X1B\\[31mARD\u202e", control="1\\X07\\", pid_rest="||DOE\\X1B\\^JANE"))
    assert (message.signature, message.control_id) == ("HL7 A40 from W[31mARD", "1")
    assert message.merges[0].person.name == "DOE^JANE"


def test_every_repetition_with_authority_and_check_digit_is_kept() -> None:
    merge = one(a40(pid=r"12\E\34^^^HOSP&1.2.3&ISO^MR~555^7^M11^SSA^SS", mrg="00099^3^M10^HOSP&1.2.3&ISO~^^^X~1^^^SSA"))
    assert merge.surviving == (
        Identifier("12\\34", "HOSP", "1.2.3", "ISO", "MR"),
        Identifier("555", "SSA", id_type="SS", check_digit="7"),
    )
    assert merge.prior == (Identifier("00099", "HOSP", "1.2.3", "ISO", check_digit="3"), Identifier("1", "SSA"))
    assert [(prior.id, remaining.id) for prior, remaining in merge.pairs()] == [("00099", "12\\34"), ("1", "555")]


def test_an_identifier_that_remains_is_not_given_up() -> None:
    merge = one(a40(pid="NEW^^^H^MR~555^^^SSA^SS", mrg="OLD^^^H~555^^^SSA"))
    assert [(prior.id, remaining.id) for prior, remaining in merge.pairs()] == [("OLD", "NEW")]


def test_the_one_of_the_same_issuer_and_type_takes_its_place_and_else_the_medical_record() -> None:
    merge = one(a40(pid="1^^^H^AN~2^^^H^MR~3^^^K^MR", mrg="9^^^H^MR"))
    assert [remaining.id for _, remaining in merge.pairs()] == ["2"]
    merge = one(a40(pid="1^^^SSA^SS~2^^^H^MR", mrg="9^^^ELSEWHERE^MR"))
    assert [remaining.id for _, remaining in merge.pairs()] == ["2"]
    assert merge.person.id == "2"


def test_a_message_of_several_merges_is_read_in_pairs() -> None:
    message = a40() + "PID|2||B1\rMRG|B0\rPV1|1\r"
    found = [(merge.prior[0].id, merge.surviving[0].id) for merge in read(message).merges]
    assert found == [("EMERG-9", "4711"), ("B0", "B1")]


@pytest.mark.parametrize(
    ("rest", "person"),
    [
        ("", (None, None, None)),
        ("||VAN DER BERG&VAN DER&BERG^JO^^JR^DR||1956|M", ("VAN DER BERG^JO^^DR^JR", "1956", "M")),
        ("||ALIAS^A^^^^^A~LEGAL^L^^^^^L||195601021530|A", ("LEGAL^L", "1956-01-02", "O")),
        ('||""||unknown|U', (None, None, None)),
    ],
)
def test_name_birth_date_and_sex_are_read_as_dicom_has_them(rest: str, person: tuple[str | None, ...]) -> None:
    found = one(a40(pid_rest=rest)).person
    assert (found.name, found.birth_date, found.sex) == person


@pytest.mark.parametrize(
    ("message", "words", "rejected"),
    [
        (a40(event="ADT^A01"), "another event, expected a merge: A40", True),
        (a40(event="ADT^A47"), "another event", True),
        (a40(event="ORU^R01"), "another type, expected ADT", True),
        (a40(processing="D"), "training or debugging", True),
        (a40(pid=""), "no identifier in PID-3", False),
        (a40(mrg='""'), "no identifier in MRG-1", False),
        (a40(mrg=ID_A), "the same identifier in PID-3 and MRG-1", False),
        (a40(mrg="4711^^^HOSP-A"), "the same identifier", False),
        (a40().replace("MRG", "ZZZ"), "found no MRG", False),
        (a40().replace("PID", "ZZZ"), "MRG without a PID", False),
    ],
)
def test_what_does_not_say_who_is_merged_is_refused_without_a_word_of_the_patient(
    message: str, words: str, rejected: bool
) -> None:
    with pytest.raises(Hl7Error, match=words) as caught:
        read(message)
    assert caught.value.rejected == rejected
    assert not any(secret in str(caught.value) for secret in ("4711", "EMERG", "DOE"))


@pytest.mark.parametrize(
    ("identifier", "patient", "site", "expected"),
    [
        (HOSP_A, PatientInfo("4711", "HOSP-A"), None, True),
        (HOSP_A, PatientInfo("4711", "HOSP-A", {"id_type": "PI"}), None, True),
        (HOSP_A, PatientInfo("4711", "HOSP-B"), None, False),
        (HOSP_A, PatientInfo("471", "HOSP-A"), None, False),
        (HOSP_A, PatientInfo(None, "HOSP-A"), None, False),
        (HOSP_A, PatientInfo("4711"), None, None),
        (HOSP_A, PatientInfo("4711"), "HOSP-A", True),
        (HOSP_A, PatientInfo("4711"), "HOSP-B", False),
        (Identifier("4711"), PatientInfo("4711", "HOSP-A"), None, None),
        (Identifier("4711"), PatientInfo("4711", "HOSP-A"), "HOSP-A", True),
        (Identifier("4711"), PatientInfo("4711"), None, None),
        (Identifier("4711", "A", "1.2"), PatientInfo("4711", "B", {"universal_id": "1.2"}), None, True),
        (Identifier("4711", "A", "1.2"), PatientInfo("4711", "A", {"universal_id": "1.3"}), None, False),
        (Identifier("4711", "A", "1.2"), PatientInfo("4711", "1.2"), None, True),
        (Identifier("4711", "", "1.2"), PatientInfo("4711", "A"), None, False),
        (Identifier("4711", "A", check_digit="5"), PatientInfo("47115", "A"), None, True),
    ],
)
def test_an_identifier_names_a_patient_of_the_same_issuer_or_perhaps_one_without(
    identifier: Identifier, patient: PatientInfo, site: str | None, expected: bool | None
) -> None:
    assert identifier.names(patient, site) is expected


def test_two_ids_that_are_given_up_each_get_their_place() -> None:
    merge = one(a40(pid=ID_A, mrg=f"{ID_B}~OLD^^^HOSP-A"))
    assert [(prior.id, remaining.id) for prior, remaining in merge.pairs()] == [("EMERG-9", "4711"), ("OLD", "4711")]
