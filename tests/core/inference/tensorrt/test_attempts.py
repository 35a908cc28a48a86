"""A build that ends its process is tried twice, not for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.inference.tensorrt.attempts import MAX_ATTEMPTS, Attempts, EngineGivenUpError, note_death, take_back


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path / "x.attempts.json", {"driver": "12.4", "workspace_mib": None})


def test_attempts_that_killed_their_process_are_counted_and_then_refused_with_the_reason(attempts: Attempts) -> None:
    for _ in range(MAX_ATTEMPTS):
        attempts.refuse_hopeless()
        attempts.begin()
    with pytest.raises(EngineGivenUpError, match=r"tried 2 times .* without a word"):
        attempts.refuse_hopeless()
    note_death(attempts.marker, "ended by SIGSEGV while building")
    with pytest.raises(EngineGivenUpError, match=r"the last time: ended by SIGSEGV.*lungsev-run engine"):
        attempts.refuse_hopeless()
    assert attempts.count == MAX_ATTEMPTS


def test_a_change_of_what_decides_the_engine_begins_anew(attempts: Attempts) -> None:
    for _ in range(MAX_ATTEMPTS):
        attempts.begin()
    for changed in ({"driver": "13.0"}, {"workspace_mib": 256}):
        other = Attempts(attempts.marker, {**attempts.key, **changed})
        other.refuse_hopeless()
        assert other.count == 0


def test_success_and_the_user_remove_the_marker(attempts: Attempts) -> None:
    attempts.begin()
    attempts.forget()
    assert not attempts.marker.exists()
    attempts.forget()


def test_a_cancelled_attempt_does_not_count(attempts: Attempts) -> None:
    attempts.begin()
    attempts.begin()
    take_back(attempts.marker)
    assert attempts.count == 1
    take_back(attempts.marker)
    assert not attempts.marker.exists()
    take_back(attempts.marker)
    note_death(attempts.marker, "ended")
    assert not attempts.marker.exists()


@pytest.mark.parametrize("content", ["", "[1]", '{"attempts": "many"}', '{"attempts": null, "last": "", "key": {}}'])
def test_a_damaged_marker_counts_as_none(attempts: Attempts, content: str) -> None:
    attempts.marker.write_text(content)
    assert attempts.count == 0
    take_back(attempts.marker)
    attempts.begin()
    assert attempts.count == 1
