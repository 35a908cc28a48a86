"""Checks of the time: the clock of this computer, and the zone of times without an offset."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from lungsev.runtime.checks.check import Check

_RELEASED = 1_767_225_600  # 2026-01-01: a clock before it is wrong
_STA_UNSYNC = 0x40  # adjtimex(2)


def check_clock() -> Check:
    """Check that the clock is set and synchronised."""
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    advice = "set the clock and switch on NTP (timedatectl set-ntp true): dates of results come from it"
    if now < _RELEASED:
        return Check("clock", False, shown, advice)
    synchronised = _synchronised()
    state = {True: "synchronised", False: "not synchronised", None: "synchronisation unknown"}[synchronised]
    return Check("clock", synchronised is not False, f"{shown}, {state}", advice)


def check_zone(timezone: str | None) -> Check:
    """Check the zone of times without an offset: that it is known, and whether it is this computer's."""
    year = datetime.now().year
    days = [datetime(year, month, 15, 12) for month in range(1, 13)]
    here = [day.astimezone().utcoffset() for day in days]
    computer = f"{_computer_zone()} (now {_format_offset(datetime.now().astimezone())})"
    if timezone is None:
        is_utc = not any(here)
        advice = "set site.timezone, for example Europe/Rome, unless the X-ray units keep universal time"
        return Check("time zone", True, f"this computer's, {computer}", advice, warning=is_utc)
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        advice = "name a zone like Europe/Rome in site.timezone, or install the zones: pip install tzdata"
        return Check("time zone", False, f"{timezone!r} is not known here", advice)
    found = f"{timezone} (now {_format_offset(datetime.now(zone))})"
    if [day.replace(tzinfo=zone).utcoffset() for day in days] == here:
        return Check("time zone", True, found)
    advice = f"if this computer's is wrong: timedatectl set-timezone {timezone}; otherwise correct site.timezone"
    return Check("time zone", True, f"{found}, but this computer's is {computer}", advice, warning=True)


def _computer_zone() -> str:
    given = os.environ.get("TZ", "").lstrip(":")
    with contextlib.suppress(OSError):
        given = given or os.readlink("/etc/localtime").rpartition("zoneinfo/")[2]
    return given or time.tzname[0]


def _format_offset(moment: datetime) -> str:
    digits = moment.strftime("%z")
    return f"UTC{digits[:3]}:{digits[3:5]}"


def _synchronised() -> bool | None:
    """What the kernel knows of NTP; None where it cannot be asked, as in a container."""
    if Path("/run/systemd/timesync/synchronized").exists():
        return True
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return None
    with contextlib.suppress(OSError, AttributeError):
        state = ctypes.create_string_buffer(256)  # struct timex, all zero: only asks
        adjtimex: Callable[[Any], int] = ctypes.CDLL(None, use_errno=True).adjtimex
        if adjtimex(state) >= 0:
            status = int.from_bytes(
                state.raw[40:44], "little"
            )  # 64-bit layout: modes, offset, freq, maxerror, esterror
            return not status & _STA_UNSYNC
    return None
