from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hl7_samples import a40

from lungsev.runtime.hl7.acknowledgement import acknowledge
from lungsev.runtime.hl7.message import Hl7Error, parse_header, parse_message

NOW = datetime(2026, 11, 22, 8, 15, tzinfo=timezone.utc)
WRONG = Hl7Error("found no MRG", code=100)
NEVER_TAKEN = Hl7Error("found another event", rejected=True, code=201)


def answer(message: str, error: Hl7Error | None = None, codec: str = "utf-8") -> list[str]:
    data = acknowledge(parse_message(message.encode(codec)).header, error, "own1", NOW)
    assert data is not None
    return data.decode(codec).split("\r")


def test_a_message_that_was_taken_is_acknowledged_to_its_sender() -> None:
    assert answer(a40()) == [
        "MSH|^~\\&|LUNGSEV|ICU|ADT|WARD|20261122081500+0000||ACK^A40^ACK|own1|P|2.5",
        "MSA|AA|MSG00001",
        "",
    ]


@pytest.mark.parametrize(("error", "code", "number"), [(WRONG, "AE", "100"), (NEVER_TAKEN, "AR", "201")])
def test_one_that_was_not_taken_is_told_why(error: Hl7Error, code: str, number: str) -> None:
    _, msa, err, _ = answer(a40(), error)
    assert msa == f"MSA|{code}|MSG00001|{error}"
    assert err == f"ERR|||{number}^^HL70357|E||||{error}"


def test_the_senders_delimiters_and_character_set_are_kept() -> None:
    header, msa, _ = answer(a40(facility="STATION-Ä", charset="8859/1"), codec="latin-1")
    assert "|STATION-Ä|" in header
    assert header.endswith("|8859/1")
    own = "MSH$%*!@$A$B$C$D$2026$$ADT%A01$7$P$2.5\r"
    header, msa, _, _ = answer(own, Hl7Error("50 % of $ and !", rejected=True, code=201))
    assert header == "MSH$%*!@$C$D$A$B$20261122081500+0000$$ACK%A01%ACK$own1$P$2.5"
    assert msa == "MSA$AR$7$50 !S! of !F! and !E!"


def test_what_has_no_header_is_answered_all_the_same() -> None:
    data = acknowledge(parse_header(b"hello"), NEVER_TAKEN, "own1", NOW)
    assert data is not None
    assert data.startswith(b"MSH|^~\\&|LUNGSEV||||20261122081500+0000||ACK|own1|P|2.5.1\rMSA|AR||found another event\r")


@pytest.mark.parametrize(
    ("intake", "application", "taken", "refused"),
    [
        ("", "", "AA", "AE"),
        ("", "AL", "AA", "AE"),
        ("AL", "AL", "AA", "AE"),
        ("AL", "NE", "CA", "CE"),
        ("AL", "ER", "CA", "AE"),
        ("NE", "SU", "AA", None),
        ("NE", "NE", None, None),
        ("ER", "NE", None, "CE"),
    ],
)
def test_senders_say_which_acknowledgements_they_want(
    intake: str, application: str, taken: str | None, refused: str | None
) -> None:
    header = parse_message(a40().replace("|2.5||||||", f"|2.5|||{intake}|{application}||").encode()).header
    for error, expected in ((None, taken), (WRONG, refused)):
        data = acknowledge(header, error, "own1", NOW)
        found = data.split(b"\r")[1].split(b"|")[1].decode() if data is not None else None
        assert found == expected


def test_hl7apy_reads_the_answer() -> None:
    parser = pytest.importorskip("hl7apy.parser")
    data = acknowledge(parse_message(a40().encode()).header, WRONG, "own1", NOW)
    assert data is not None
    message = parser.parse_message(data.decode(), find_groups=False)
    assert (message.msa.msa_1.value, message.msa.msa_2.value) == ("AE", "MSG00001")
    assert message.validate()
