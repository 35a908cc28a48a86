from __future__ import annotations

from contextlib import closing
from pathlib import Path

from lungsev.runtime.dicom.storage_commitment import (
    CLASS_CONFLICT,
    NO_SUCH_OBJECT,
    ReceivedInstances,
    Reference,
    commitment_report,
)

DX, CR = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1"
HERE, ELSEWHERE = Reference(DX, "1.2.3"), Reference(DX, "1.2.99")


def test_received_instances_are_known_after_reopening_and_to_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "received.sqlite"
    with closing(ReceivedInstances(path)) as received:
        received.add(HERE)
        received.add(HERE)
    assert path.stat().st_mode & 0o077 == 0
    with closing(ReceivedInstances(path)) as received:
        assert received.check([HERE]) == ([HERE], [])


def test_an_instance_that_was_not_received_or_has_another_class_fails_with_its_reason(tmp_path: Path) -> None:
    other_class = Reference(CR, HERE.sop_instance_uid)
    with closing(ReceivedInstances(tmp_path / "received.sqlite")) as received:
        received.add(HERE)
        kept, failed = received.check([ELSEWHERE, HERE, other_class])
    assert kept == [HERE]
    assert failed == [(ELSEWHERE, NO_SUCH_OBJECT), (other_class, CLASS_CONFLICT)]


def test_a_report_of_success_lists_the_instances_and_no_failures() -> None:
    event_type, information = commitment_report("1.2.7", [HERE], [])
    assert event_type == 1
    assert information.TransactionUID == "1.2.7"
    (item,) = information.ReferencedSOPSequence
    assert (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) == (DX, "1.2.3")
    assert "FailedSOPSequence" not in information


def test_a_report_of_failures_says_the_reason_of_each() -> None:
    event_type, information = commitment_report("1.2.7", [], [(ELSEWHERE, NO_SUCH_OBJECT)])
    assert event_type == 2
    assert "ReferencedSOPSequence" not in information
    (item,) = information.FailedSOPSequence
    assert (item.ReferencedSOPInstanceUID, item.FailureReason) == ("1.2.99", 0x0112)
