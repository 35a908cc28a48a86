"""HL7 v2.5.1 messages, checked by the field's own parser."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lungsev.patient import PatientInfo
from lungsev.report import QualityFlag
from lungsev.runtime.outputs.hl7_oru import encode_hl7, escape, oru_message

parser = pytest.importorskip("hl7apy.parser")
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
