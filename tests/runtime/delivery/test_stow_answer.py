from __future__ import annotations

import json
from typing import Any

import pytest

from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError
from lungsev.runtime.delivery.stow_answer import StowAnswer, read_stow_answer

NAMESPACE = 'xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"'
OK = {"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]}}
STORED = StowAnswer(frozenset({"1.2"}), ())
NOTHING_SAID = StowAnswer(frozenset(), ())


def refused(reason: object) -> StowAnswer:
    item = {"00081155": {"vr": "UI", "Value": ["1.2"]}, "00081197": {"vr": "US", "Value": reason}}
    return read({"00081198": {"vr": "SQ", "Value": [item]}})


def read(answer: object) -> StowAnswer:
    found = read_stow_answer(json.dumps(answer).encode())
    assert found is not None
    return found


def xml(attributes: str, root: str = f"NativeDicomModel {NAMESPACE}") -> bytes:
    return f'<?xml version="1.0"?><{root}>{attributes}</{root.split()[0]}>'.encode()


OK_XML = (
    '<DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence"><Item number="1">'
    '<DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2</Value></DicomAttribute></Item></DicomAttribute>'
)
FAILED_XML = OK_XML.replace("00081199", "0008119a").replace(
    "</Item>", '<DicomAttribute tag="00081197" vr="US"><Value number="1">290</Value></DicomAttribute></Item>'
)


@pytest.mark.parametrize("body", [b"", b" \r\n", b"{}", b"[]", b"null", b"\xef\xbb\xbf{}"])
def test_an_empty_answer_denies_nothing(body: bytes) -> None:
    assert read_stow_answer(body) == NOTHING_SAID


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(OK).encode(),
        json.dumps([OK]).encode(),
        json.dumps([{}, OK]).encode(),
        b"\xef\xbb\xbf" + json.dumps(OK).encode(),
        json.dumps(OK).encode("utf-16"),
        xml(OK_XML),
        xml(OK_XML, "NativeDicomModel"),
        b"\xef\xbb\xbf" + xml(OK_XML),
        xml(OK_XML, f"NativeDicomModel {NAMESPACE}").decode().encode("utf-16"),
        f"<answers>{xml(OK_XML).decode().partition('?>')[2]}</answers>".encode(),
    ],
)
def test_json_lists_xml_and_byte_order_marks_are_read(body: bytes) -> None:
    assert read_stow_answer(body) == STORED


@pytest.mark.parametrize("sequence", [{"vr": "SQ"}, {"vr": "SQ", "Value": None}, {"vr": "SQ", "Value": []}, None])
def test_an_empty_list_of_failures_is_none(sequence: object) -> None:
    assert read({**OK, "00081198": sequence}) == STORED


def test_an_answer_of_several_parts_is_read() -> None:
    parts = b"\r\n".join(
        [b"--b", b"Content-Type: application/dicom+xml", b"", xml(FAILED_XML), b"--b", b"Content-Type: "
         b"application/dicom+json", b"", json.dumps(OK).encode(), b"--b--", b""]
    )  # fmt: skip
    found = read_stow_answer(parts, 'multipart/related; type="application/dicom+xml"; boundary=b')
    assert found == StowAnswer(frozenset({"1.2"}), (("1.2", 0x0122),))
    assert read_stow_answer(b"--b\r\n\r\nlog in\r\n--b--", "multipart/mixed; boundary=b") is None


@pytest.mark.parametrize(
    "body",
    [
        b"<html><body>log in</body></html>",
        b"<!DOCTYPE html><html></html>",
        b"OK",
        b'{"status": "ok"}',
        b'"stored"',
        b"[1, 2]",
        b"{",
        b"[" * 100_000,
        b"<a>" * 100_000,
        xml(OK_XML)[:-5],
        b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 100 + b'">]>' + xml(OK_XML).partition(b"?>")[2],
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_answer_of_a_dicomweb_server_acknowledges_nothing(body: bytes) -> None:
    assert read_stow_answer(body) is None


@pytest.mark.parametrize(
    ("reason", "expected"),
    [([290], 290), (["290"], 290), (["0x0122"], 290), ([290.0], 290), (290, 290), ("290", 290), (["49152"], 0xC000),
     ([], None), (None, None), (["much"], None), ([{}], None), ([0], None), ([-1], None), ([1e999], None),
     ([1 << 20], None)],
)  # fmt: skip
def test_a_reason_is_a_number_or_a_text_of_one(reason: object, expected: int | None) -> None:
    assert refused(reason).failures == (("1.2", expected),)


def test_failures_of_objects_without_a_uid_are_read_from_the_sequence_of_other_failures() -> None:
    answer = read({"0008119a": {"Value": [{"00081197": {"Value": [0xC000]}}, "no item"]}})
    assert answer.failures == ((None, 0xC000),)


STORED_ALREADY, UNSUPPORTED = 45070, 0x0122


@pytest.mark.parametrize(
    ("stored", "failures", "nothing_stored", "outcome"),
    [
        ((), (), False, None),
        (("1.2",), (), False, None),
        (("1.2",), (("9.9", UNSUPPORTED),), False, None),
        (("9.9",), (("1.2", UNSUPPORTED),), False, SendRefusedError),
        ((), (("9.9", UNSUPPORTED),), False, SendRefusedError),  # the only object that was sent
        ((), ((None, UNSUPPORTED),), False, SendRefusedError),
        ((), (("1.2", STORED_ALREADY),), True, None),
        ((), (("1.2", STORED_ALREADY), ("1.2", UNSUPPORTED)), True, SendRefusedError),
        ((), (("1.2", None),), True, SendLaterError),
        ((), (), True, SendLaterError),
        (("1.2",), (), True, None),
    ],
)
def test_the_object_that_was_sent_decides(
    stored: tuple[str, ...],
    failures: tuple[tuple[str | None, int | None], ...],
    nothing_stored: bool,
    outcome: type[Exception] | None,
) -> None:
    answer: Any = StowAnswer(frozenset(stored), failures)
    if outcome is None:
        answer.check_object("1.2", nothing_stored)
    else:
        with pytest.raises(outcome):
            answer.check_object("1.2", nothing_stored)
