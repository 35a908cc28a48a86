from __future__ import annotations

import pytest

from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError, check_failure, check_status


@pytest.mark.parametrize("status", [0x0000, 0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007, 0x0111])
def test_success_warnings_and_a_duplicate_mean_stored(status: int) -> None:
    check_status(status, "the PACS")


@pytest.mark.parametrize("reason", [0x0111, 45070, 0xB000, 0xB006, 0xB007])
def test_a_failure_that_says_coerced_or_stored_already_means_stored(reason: int) -> None:
    check_failure(reason, "the server")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (0xA700, "out of resources"),
        (0xA7FF, "out of resources"),
        (0x0213, "out of resources"),
        (0x0110, "could not process"),
        (45071, "still storing"),
    ],
)
def test_what_can_pass_is_tried_again(reason: int, words: str) -> None:
    with pytest.raises(SendLaterError, match=f"the PACS .*{words}.*0x{reason:04X}"):
        check_failure(reason, "the PACS")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (0x0122, "does not take this kind of object"),
        (0x0117, "the UID of the object is invalid"),
        (0x0124, "not authorised"),
        (0x0116, "out of range"),  # a warning of C-STORE, and the reason of a failure in STOW
        (0xA900, "does not fit its kind"),
        (0xA9FF, "does not fit its kind"),
        (0xC000, "cannot understand"),
        (0xC122, "transfer syntax"),
        (0xCFFF, "cannot understand"),
        (0x0C00, "not one of the standard's"),
        (0xA801, "not one of the standard's"),
    ],
)
def test_what_cannot_pass_is_refused_with_its_reason_in_words(reason: int, words: str) -> None:
    with pytest.raises(SendRefusedError, match=f"the PACS refused the object: .*{words}.*0x{reason:04X}"):
        check_failure(reason, "the PACS")
