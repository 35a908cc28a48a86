from __future__ import annotations

import pytest
from hl7_samples import a40
from hypothesis import given, settings
from hypothesis import strategies as st

from lungsev.runtime.hl7.message import Hl7Error, Hl7Message, parse_header, parse_message


def with_id(field: str, header: str = "MSH|^~\\&|A|B|C|D|2026||ADT^A40|1|P|2.5") -> Hl7Message:
    return parse_message(f"{header}\rPID|1||{field}\r".encode())


def id_of(field: str) -> str:
    return with_id(field).segments[0].repetitions(3)[0].text(1)


def test_fields_count_from_one_and_the_header_counts_its_own_delimiter() -> None:
    message = parse_message(a40().encode())
    header = message.header
    assert (header.raw(1), header.raw(2), header.text(3), header.text(4), header.text(10)) == (
        "|", "^~\\&", "ADT", "WARD", "MSG00001",
    )  # fmt: skip
    assert message.kind == ("ADT", "A40")
    assert [segment.name for segment in message.segments] == ["EVN", "PID", "PD1", "MRG"]
    assert message.segments[1].text(5, 2) == "JANE"
    assert message.segments[1].raw(99) == ""


@pytest.mark.parametrize("ending", ["\r", "\n", "\r\n", "\r\r"])
def test_every_end_of_line_and_the_frame_of_mllp_are_taken(ending: str) -> None:
    text = a40().replace("\r", ending)
    assert parse_message(b"\x0b" + text.encode() + b"\x1c\r") == parse_message(a40().encode())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("ADT^A40", ("ADT", "A40")), ("ADT^^ADT_A40", ("ADT", "A40")), ("adt^a40", ("ADT", "A40")), ("ACK", ("ACK", ""))],
)
def test_the_event_is_in_the_type_or_in_the_structure(kind: str, expected: tuple[str, str]) -> None:
    assert parse_message(a40(event=kind).encode()).kind == expected


def test_repetitions_components_and_subcomponents_are_told_apart() -> None:
    (first, second) = with_id("1^2^M10^HOSP&1.2.3&ISO^MR~~2^^^OTHER").segments[0].repetitions(3)
    assert [first.text(number) for number in range(1, 7)] == ["1", "2", "M10", "HOSP", "MR", ""]
    assert (first.text(4, 2), first.text(4, 3), first.text(4, 4)) == ("1.2.3", "ISO", "")
    assert (second.text(1), second.text(4)) == ("2", "OTHER")


def test_the_senders_own_delimiters_count() -> None:
    message = parse_message(b"MSH$%*!@$A$B$C$D$2026$$ADT%A40$1$P$2.5\rPID$1$$4711%%%HOSP@1.2@ISO*x!S!y\r")
    (first, second) = message.segments[0].repetitions(3)
    assert (first.text(1), first.text(4), first.text(4, 2)) == ("4711", "HOSP", "1.2")
    assert second.text(1) == "x%y"
    assert message.kind == ("ADT", "A40")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (r"12\E\34", "12\\34"),
        (r"a\F\b\S\c\T\d\R\e", "a|b^c&d~e"),
        (r"\X4D\x", "Mx"),
        (r"\XC3A4\x", "äx"),
        (r"\H\bold\N\\.br\x", "boldx"),
        (r"\.sp+2\x", "x"),
        (r"\Q\x\Xzz\x", r"\Q\x\Xzz\x"),
        ("lone\\", "lone\\"),
        ("  4711 ", "4711"),
        ("00012", "00012"),
    ],
)
def test_escape_sequences_are_undone(sent: str, meant: str) -> None:
    assert id_of(f"{sent}^x") == meant


def test_a_null_value_is_empty() -> None:
    assert id_of('""^x') == ""
    assert with_id('""').segments[0].repetitions(3) == ()


@pytest.mark.parametrize(
    ("named", "codec"),
    [("", "utf-8"), ("", "cp1252"), ("UNICODE UTF-8", "utf-8"), ("8859/1", "latin-1"), ("8859/15", "iso8859-15"),
     ("ASCII", "latin-1"), ("8859/1~UNICODE UTF-8", "latin-1"), ("UTF-8", "utf-8-sig")],
)  # fmt: skip
def test_the_character_set_of_the_message_is_used(named: str, codec: str) -> None:
    data = a40(charset=named, pid_rest="||MÜLLER^JOSÉ").encode(codec)
    assert parse_message(data).segments[1].text(5) == "MÜLLER"


def test_other_alphabets_and_utf_16_are_read() -> None:
    assert parse_message(a40(charset="8859/5", pid_rest="||ИВАНОВ").encode("iso8859-5")).segments[1].text(5) == "ИВАНОВ"
    chinese = a40(charset="GB 18030-2000", pid_rest="||王").encode("gb18030")
    assert parse_message(chinese).segments[1].text(5) == "王"
    for codec in ("utf-16", "utf-16-le", "utf-16-be"):
        assert parse_message(a40(charset="UNICODE UTF-16").encode(codec)).segments[1].text(5) == "DOE"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not begin with MSH"),
        (b"PID|1||4711\r", "does not begin with MSH"),
        (b"MSH|", "does not begin with MSH"),
        (b"MSH||||||||\r", "delimiters"),
        (b"MSH|^^\\&|A|B\r", "delimiters"),
        (b"MSHA^~\\&ABC\r", "delimiters"),
        (a40().encode() + a40().encode(), "several messages"),
        (a40(charset="KLINGON").encode(), "character set of MSH-18 is not known"),
        (a40(charset="UNICODE UTF-8", pid_rest="||MÜLLER").encode("latin-1"), "not in the character set"),
    ],
)
def test_what_is_not_one_message_is_refused_without_a_word_of_the_patient(data: bytes, words: str) -> None:
    with pytest.raises(Hl7Error, match=words) as caught:
        parse_message(data)
    assert "4711" not in str(caught.value)


def test_the_header_of_a_message_that_cannot_be_taken_is_still_read() -> None:
    header = parse_header(b"\x0b" + a40(charset="KLINGON").encode())
    assert header is not None
    assert header.text(10) == "MSG00001"
    assert parse_header(b"hello") is None
    assert parse_header(b"MSH|^^|A|B|C") is None


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    for candidate in (data, b"MSH|^~\\&|" + data, b"MSH" + data):
        parse_header(candidate)
        try:
            message = parse_message(candidate)
        except Hl7Error:
            continue
        for segment in (message.header, *message.segments):
            for value in segment.repetitions(3):
                value.text(1, 2)


@settings(max_examples=40)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=80))
def test_an_id_that_was_escaped_comes_back_as_it_was(identifier: str) -> None:
    from lungsev.runtime.outputs.hl7_oru import escape

    if identifier != '""':
        assert id_of(escape(identifier)) == identifier


def test_it_reads_what_hl7apy_reads() -> None:
    parser = pytest.importorskip("hl7apy.parser")
    text = a40(pid="4711^5^M11^HOSP&1.2.3&ISO^MR")
    theirs = parser.parse_segment(text.split("\r")[2], version="2.5").pid_3
    mine = parse_message(text.encode()).segments[1].repetitions(3)[0]
    assert [mine.text(number) for number in (1, 2, 3, 5)] == [
        getattr(theirs, f"cx_{number}").value for number in (1, 2, 3, 5)
    ]
    assert mine.text(4, 2) == theirs.cx_4.hd_2.to_er7()
