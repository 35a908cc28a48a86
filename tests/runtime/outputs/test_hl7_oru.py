"""HL7 v2.5.1 messages, checked by the field's own parser."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standing_reports import MOMENTS, STATES, STOP, in_state

from lungsev.patient import PatientInfo
from lungsev.report import QualityFlag
from lungsev.runtime.outputs.hl7_oru import encode_hl7, escape, oru_message, result_status

parser = pytest.importorskip("hl7apy.parser")
ROME = ZoneInfo("Europe/Rome")
EVIL = "Pat|ID^1&2~3\\4\r\nPID|2||other"


def test_the_message_is_valid_and_holds_every_grade(make_scored) -> None:
    text = (encode_hl7(make_scored(grades=(0, 1, 2, 3, 2, 1)), None) or b"").decode("utf-8")
    assert parser.parse_message(text).validate()
    flat = parser.parse_message(text, find_groups=False)
    numeric = [segment for segment in flat.children if segment.name == "OBX" and segment.obx_2.value == "NM"]
    assert [segment.obx_5.value for segment in numeric] == ["9", "0", "1", "2", "3", "2", "1"]
    assert {segment.obx_11.value for segment in numeric} == {"P"}
    assert all("AIAST" in segment.obx_17.to_er7() for segment in numeric)
    assert flat.obr.obr_25.value == "P"


def test_the_accession_number_leads_to_the_order(make_scored_dicom) -> None:
    text = (encode_hl7(make_scored_dicom(), None) or b"").decode("utf-8")
    message = parser.parse_message(text, find_groups=False)
    assert message.obr.obr_2.value


def test_hostile_words_stay_inside_their_field(make_scored) -> None:
    report = make_scored(flags=(QualityFlag("odd", "warn", EVIL),)).report
    text = oru_message(replace(report, patient=PatientInfo(id=EVIL)))
    segments = text.rstrip("\r").split("\r")
    assert sum(segment.startswith("PID") for segment in segments) == 1
    assert segments[1].count("|") == oru_message(report).split("\r")[1].count("|")
    assert "\n" not in text
    assert escape(EVIL) == "Pat\\F\\ID\\S\\1\\T\\2\\R\\3\\E\\4\\X0D0A\\PID\\F\\2\\F\\\\F\\other"


def test_images_without_a_score_get_none(skipped, failed) -> None:
    assert [encode_hl7(scored, None) for scored in (skipped, failed)] == [None, None]


def test_the_character_set_stands_in_msh_18(make_scored) -> None:
    header = oru_message(make_scored().report).split("\r")[0].split("|")
    assert ["|", *header[1:]].index("UNICODE UTF-8") + 1 == 18


def obx(text: str) -> list[list[str]]:
    return [segment.split("|") for segment in text.split("\r") if segment.startswith("OBX")]


@pytest.mark.parametrize(
    ("state", "when"), [*((state, "second") for state in STATES), *(("model", when) for when in MOMENTS)]
)
def test_the_message_of_every_state_is_valid(make_scored, state: str, when: str) -> None:
    report = in_state(make_scored(), state, when, stop=STOP).report
    assert parser.parse_message(oru_message(report, ROME)).validate()


def test_a_revision_is_another_message_about_the_same_result(make_scored) -> None:
    scored = make_scored()
    first, second = (oru_message(in_state(scored, state).report).split("\r") for state in ("model", "corrected"))
    assert first[0].split("|")[9] != second[0].split("|")[9]
    assert first[2].split("|")[3] == second[2].split("|")[3]


def test_a_first_result_that_a_reader_signed_is_final(make_scored) -> None:
    report = in_state(make_scored(), "agreed").report
    report = replace(report, standing=replace(report.standing, revision=1))
    assert result_status(report) == "F"
    assert oru_message(report).split("\r")[2].split("|")[25] == "F"


def test_a_later_revision_that_nobody_signed_stays_preliminary(make_scored) -> None:
    report = in_state(make_scored(), stop=STOP).report
    assert result_status(replace(report, standing=replace(report.standing, revision=2))) == "P"


@settings(max_examples=60)
@given(st.text(max_size=12), st.text(max_size=12))
def test_two_ids_that_differ_stay_different_and_come_back(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)
    assert unescape(escape(one)) == one
    assert not set("|^&~\r\n") & set(escape(one))


def unescape(text: str) -> str:
    """The receiver's side (HL7 v2.5.1, 2.7)."""
    names = {"E": "\\", "F": "|", "S": "^", "T": "&", "R": "~"}

    def back(match: re.Match[str]) -> str:
        sequence = match[1]
        return names.get(sequence) or bytes.fromhex(sequence[1:]).decode("utf-8", "surrogatepass")

    return re.sub(r"\\([^\\]*)\\", back, text)


@pytest.mark.parametrize(
    ("patient", "field"),
    [
        (PatientInfo(), "^^^^MR"),
        (PatientInfo(id="12\\34"), "12\\E\\34^^^^MR"),
        (PatientInfo(id="1", issuer="A&B"), "1^^^A\\T\\B^MR"),
        (PatientInfo("1", None, {"universal_id": "h.example", "universal_id_type": "DNS"}), "1^^^&h.example&DNS^MR"),
        (PatientInfo(id="1", issuer="H", qualifiers={"jurisdiction": "IT", "agency": "ER"}), "1^^^H^MR^^^^IT^ER"),
        (PatientInfo("1", None, {"facility": "W", "facility_universal_id": "1.2"}), "1^^^^MR^W&1.2"),
        (PatientInfo("1", None, {"facility": "W", "facility_universal_id_type": "ISO"}), "1^^^^MR^W&&ISO"),
    ],
)  # fmt: skip
def test_an_id_names_who_gave_it_out(make_scored, patient: PatientInfo, field: str) -> None:
    assert oru_message(replace(make_scored().report, patient=patient)).split("\r")[1].split("|")[3] == field


def test_a_patient_who_is_not_described_has_no_invented_parts(make_scored) -> None:
    odd = PatientInfo(id="1", birth_date="about 1950", sex="X")
    assert oru_message(replace(make_scored().report, patient=odd)).split("\r")[1] == "PID|1||1^^^^MR||^^^^^^U|||U"


def test_the_message_names_study_series_and_image(make_scored) -> None:
    report = make_scored().report
    named = {fields[3].split("^")[0]: (fields[2], fields[5]) for fields in obx(oru_message(report))}
    assert named["113014"] == ("HD", report.image.study_instance_uid)
    assert named["112002"] == ("ST", report.image.series_instance_uid)
    assert named["SOP-UID"] == ("ST", report.image.sop_instance_uid)


def test_the_message_is_dated_with_its_offset(make_scored) -> None:
    segments = oru_message(make_scored().report, timezone(timedelta(hours=5, minutes=30))).split("\r")
    for stamp in (segments[0].split("|")[6], segments[2].split("|")[22]):
        written = datetime.strptime(stamp, "%Y%m%d%H%M%S%z")
        assert stamp.endswith("+0530")
        assert abs(datetime.now(timezone.utc) - written) < timedelta(minutes=10)


def test_after_a_merge_the_identity_that_remains_comes_first(make_scored) -> None:
    report = replace(make_scored().report, patient=PatientInfo("E7"), merged_into=PatientInfo("4711", "HOSP-A"))
    segment = oru_message(report).split("\r")[1]
    assert segment.split("|")[3] == "4711^^^HOSP-A^MR~E7^^^^MR"
