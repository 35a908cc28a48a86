from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from lungsev.runtime.checks.clock import check_clock, check_zone


@pytest.fixture
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the zone of this computer, as far as this process sees it."""
    before = os.environ.get("TZ")

    def set_to(zone: str) -> None:
        os.environ["TZ"] = zone
        time.tzset()

    yield set_to
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_a_clock_before_the_release_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    check = check_clock()
    assert not check.ok
    assert "2001" in check.found
    assert "NTP" in check.advice


def test_the_zone_of_the_site_is_told_with_its_offset(set_zone: Callable[[str], None]) -> None:
    set_zone("Asia/Kolkata")
    check = check_zone("Asia/Kolkata")
    assert (check.ok, check.warning, check.found) == (True, False, "Asia/Kolkata (now UTC+05:30)")


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Africa/Lagos"])
def test_another_zone_than_the_computers_is_a_warning(set_zone: Callable[[str], None], zone: str) -> None:
    set_zone("Europe/Rome")  # as Lagos in winter only
    check = check_zone(zone)
    assert (check.ok, check.warning) == (True, True)
    assert zone in check.found
    assert "but this computer's is Europe/Rome (now UTC+0" in check.found
    assert f"set-timezone {zone}" in check.advice


def test_a_zone_that_is_not_known_here_is_a_failure() -> None:
    check = check_zone("Europe/Atlantis")
    assert not check.ok
    assert "Europe/Atlantis" in check.found


@pytest.mark.parametrize(("zone", "warning"), [("Europe/Rome", False), ("UTC", True)])
def test_without_a_setting_the_computers_zone_counts_and_universal_time_is_a_warning(
    set_zone: Callable[[str], None], zone: str, warning: bool
) -> None:
    set_zone(zone)
    check = check_zone(None)
    assert (check.ok, check.warning) == (True, warning)
    assert f"this computer's, {zone} (now UTC+0" in check.found
