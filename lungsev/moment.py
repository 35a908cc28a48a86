"""Moments: when an image was taken, exactly as its header says it, never more exact.

A moment has its own precision and perhaps an offset from UTC. Moments are ordered by the instants they may stand for:
two images of one day without an hour have no order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

Precision = Literal["year", "month", "day", "hour", "minute", "second", "fraction"]
OffsetSource = Literal["value", "header", "site"]

FIRST_PLAUSIBLE_YEAR = 1980  # digital radiography began; 1900 and 1970 are what devices write that know no date
_FUTURE_TOLERANCE = timedelta(days=1)
_PRECISIONS: tuple[Precision, ...] = ("year", "month", "day", "hour", "minute", "second", "fraction")
_DATE_TIME = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d{2})(?:(?P<day>\d{2})(?:(?P<hour>\d{2})(?:(?P<minute>\d{2})"
    r"(?:(?P<second>\d{2})(?P<fraction>\.\d{1,6})?)?)?)?)?)?(?P<offset>[+-]\d{4})?"
)
_DATE = re.compile(r"(\d{4})([.-]?)(\d{2})\2(\d{2})")
_TIME = re.compile(r"(\d{2})(?:(:?)(\d{2})(?:\2(\d{2})(\.\d{1,6})?)?)?")
_ISO = r"\d{4}(-\d{2}(-\d{2}(T\d{2}(:\d{2}(:\d{2}(\.\d{1,6})?)?)?)?)?)?"
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")


@dataclass(frozen=True)
class Moment:
    """When an image was taken.

    Attributes:
        at: ISO 8601 at its own precision, without offset: `2026-11-18`, `2026-11-18T06:50`.
        precision: The smallest part that is known.
        offset: From UTC, `+01:00`; None when neither the header nor the site's zone settles it.
        offset_source: The value itself, Timezone Offset From UTC (0008,0201) or the site's zone.
        source: Keywords of the elements it was read from.
        zone: The site's zone, where no single offset follows from it: for a date, and in the night when clocks change.
    """

    at: Annotated[str, Field(json_schema_extra={"pattern": f"^{_ISO}$"})]
    precision: Precision
    offset: Annotated[str | None, Field(json_schema_extra={"pattern": r"^[+-]\d{2}:\d{2}$"})] = None
    offset_source: OffsetSource | None = None
    source: str = ""
    zone: str | None = None

    @classmethod
    def from_iso(cls, text: str) -> Moment | None:
        """Return the moment of an ISO 8601 text without offset; None when it is none."""
        if not re.fullmatch(_ISO, text):
            return None
        return _moment(text[:10], text[11:], None, "value", "")

    @property
    def has_time(self) -> bool:
        """Whether at least the hour is known."""
        return "T" in self.at

    @property
    def clock(self) -> str:
        """The time to the minute: `06:50`, `06 h` where no minute is known, empty without a time."""
        time = self.at[11:16]
        return time if len(time) != 2 else f"{time} h"

    @property
    def date(self) -> str:
        """The date without the time, as exact as it is known."""
        return self.at[:10]

    def earliest(self, zone: tzinfo | None = None) -> datetime:
        """Return the first instant that this moment may stand for, in its own offset.

        Args:
            zone: Zone of a moment without an offset; None is its own, or else this computer's. Where the zone's clock
                showed the time twice or skipped it (summer time), both readings count.
        """
        return min(self._instants(self._start(), zone))

    def latest(self, zone: tzinfo | None = None) -> datetime:
        """Return the last instant that this moment may stand for; arguments as of `earliest`."""
        return max(self._instants(_next(self._start(), self.precision) - timedelta(microseconds=1), zone))

    def is_before(self, other: Moment, zone: tzinfo | None = None) -> bool | None:
        """Return whether this moment is certainly before another; None when their order is unknown."""
        if self.latest(zone) < other.earliest(zone):
            return True
        if other.latest(zone) < self.earliest(zone):
            return False
        exact = self.precision == other.precision == "fraction"
        return False if exact and self.earliest(zone) == other.earliest(zone) else None

    def is_plausible(self, received: datetime | None = None, zone: tzinfo | None = None) -> bool:
        """Return whether an image can have been taken then: not before 1980, not over a day after it was received."""
        if self._start().year < FIRST_PLAUSIBLE_YEAR:
            return False
        return received is None or self.earliest(zone) <= received + _FUTURE_TOLERANCE

    def hl7(self) -> str:
        """Return the HL7 v2 time stamp (section 2.A.22): as many digits as are known, and the offset if it has one."""
        digits = re.sub(r"[-T:]", "", self.at)
        whole, _, fraction = digits.partition(".")
        offset = self.offset.replace(":", "") if self.offset and self.has_time else ""
        return whole + (f".{fraction[:4]}" if fraction else "") + offset

    def fhir(self, zone: tzinfo | None = None) -> dict[str, object]:
        """Return the `effective[x]` of a FHIR resource.

        FHIR times have an offset, and seconds, which may be zero-filled (R4 2.24.0.1, dateTime). Where hour or offset
        are not settled, the result is the period that is certain.
        """
        if not self.has_time:
            return {"effectiveDateTime": self.at}
        offsets = {instant.utcoffset() for instant in self._instants(self._start(), zone)}
        start, end = self.earliest(zone), self.latest(zone)
        if len(offsets) == 1 and self.precision != "hour":
            seconds = ":00" if self.precision == "minute" else ""
            return {"effectiveDateTime": self.at + seconds + start.isoformat()[-6:]}
        return {
            "effectivePeriod": {
                "start": start.isoformat(timespec="seconds"),
                "end": end.isoformat(timespec="seconds"),
            }
        }

    def with_site_zone(self, zone: ZoneInfo | None) -> Moment:
        """Return the moment with the zone's offset, or with the zone where several offsets are possible."""
        if self.offset:
            return self
        offsets = {instant.utcoffset() for instant in self._instants(self._start(), zone)}
        if len(offsets) > 1 or not self.has_time:
            return replace(self, zone=zone.key if zone is not None else None)
        text = self.earliest(zone).isoformat()[-6:]
        return replace(self, offset=text, offset_source="site")

    def _start(self) -> datetime:
        padded = self.at + "0000-01-01T00:00:00"[len(self.at) :] if len(self.at) < 19 else self.at
        whole, _, fraction = padded.partition(".")
        return datetime.fromisoformat(whole).replace(microsecond=int(fraction[:6].ljust(6, "0")) if fraction else 0)

    def _instants(self, moment: datetime, zone: tzinfo | None) -> list[datetime]:
        """Return every instant at which a clock of this offset or zone shows the date and time."""
        if self.offset:
            return [moment.replace(tzinfo=_fixed(self.offset))]
        zone = zone or (ZoneInfo(self.zone) if self.zone else None)
        return [_in_zone(moment.replace(fold=fold), zone) for fold in (0, 1)]


def read_moment(values: dict[str, str], offset: str = "") -> Moment | None:
    """Read when an image was taken from elements of its header.

    The most exact element with a time decides: Acquisition DateTime, Acquisition Date and Time, then those of content,
    series and study. An element whose date differs from the acquisition's says nothing of its time. A date alone stays
    a date. Dates before 1980 count only where there is no other.

    Args:
        values: Texts of the elements by keyword; those that are absent or damaged may be missing.
        offset: Timezone Offset From UTC (0008,0201).
    """
    found = _candidates(values, _iso_offset(offset))
    plausible = [moment for moment in found if moment.is_plausible()]
    candidates = plausible or found
    acquired = next((moment for moment in candidates if moment.source.startswith("Acquisition")), None)
    if acquired is not None:
        candidates = [moment for moment in candidates if moment.date.startswith(acquired.date)]
    return next((moment for moment in candidates if moment.has_time), next(iter(candidates), None))


def parse_date(value: str) -> str | None:
    """Return a DICOM date (PS3.5 6.2, DA, and the form of ACR-NEMA) in ISO 8601; None when it is none."""
    match = _DATE.fullmatch(value.strip(" \0"))
    return _checked("-".join(match.group(1, 3, 4)), "%Y-%m-%d") if match else None


def _candidates(values: dict[str, str], header_offset: str | None) -> list[Moment]:
    found = [_parse_date_time(values.get("AcquisitionDateTime", ""), header_offset)]
    for name in ("Acquisition", "Content", "Series", "Study"):
        found.append(_pair(name, values.get(f"{name}Date", ""), values.get(f"{name}Time", ""), header_offset))
    return [moment for moment in found if moment is not None]


def _parse_date_time(value: str, header_offset: str | None) -> Moment | None:
    """Parse DT (PS3.5 6.2)."""
    match = _DATE_TIME.fullmatch(value.strip(" \0"))
    if match is None:
        return None
    date = "-".join(part for part in match.group("year", "month", "day") if part)
    if _checked(date, "%Y-%m-%d"[: 2 + 3 * date.count("-")]) is None:
        return None
    time = _iso_time(match["hour"] or "", match["minute"] or "", match["second"] or "", match["fraction"] or "")
    if match["hour"] and not time:
        return None
    own = _iso_offset(match["offset"] or "")
    return _moment(date, time, own or header_offset, "value" if own else "header", "AcquisitionDateTime")


def _pair(name: str, date_value: str, time_value: str, offset: str | None) -> Moment | None:
    date = parse_date(date_value)
    if date is None:
        return None
    match = _TIME.fullmatch(time_value.strip(" \0"))
    time = _iso_time(match[1], match[3] or "", match[4] or "", match[5] or "") if match else ""
    source = f"{name}Date, {name}Time" if time else f"{name}Date"
    return _moment(date, time, offset, "header", source)


def _moment(date: str, time: str, offset: str | None, offset_source: OffsetSource, source: str) -> Moment:
    parts = date.count("-") + (1 + time.count(":") + time.count(".") if time else 0)
    return Moment(
        at=f"{date}T{time}" if time else date,
        precision=_PRECISIONS[parts],
        offset=offset,
        offset_source=offset_source if offset else None,
        source=source,
    )


def _iso_time(hour: str, minute: str, second: str, fraction: str) -> str:
    """Return the time at its own precision, empty when it is none. The leap second 60 is known to the minute only."""
    if not hour or int(hour) > 23 or (minute and int(minute) > 59) or (second and int(second) > 60):
        return ""
    if second == "60":
        second = fraction = ""
    return ":".join(part for part in (hour, minute, second) if part) + fraction


def _iso_offset(text: str) -> str | None:
    """Return an offset as `+01:00`; None when it is none (PS3.3 C.12.1.1.8: -12:00 to +14:00)."""
    match = _OFFSET.fullmatch(text.strip(" \0"))
    if match is None or int(match[3]) > 59:
        return None
    minutes = int(match[1] + "1") * (60 * int(match[2]) + int(match[3]))
    return f"{match[1]}{match[2]}:{match[3]}" if -720 <= minutes <= 840 else None


def _checked(text: str, form: str) -> str | None:
    try:
        moment = datetime.strptime(text, form)
    except ValueError:
        return None
    return text if 1895 <= moment.year < 9999 else None  # after Roentgen's discovery


def _next(start: datetime, precision: Precision) -> datetime:
    if precision == "year":
        return start.replace(year=start.year + 1)
    if precision == "month":
        return (start + timedelta(days=32)).replace(day=1)
    if precision == "fraction":
        return start + timedelta(microseconds=1)
    return start + timedelta(**{f"{precision}s": 1})


def _in_zone(moment: datetime, zone: tzinfo | None) -> datetime:
    """Return the instant in its fixed offset: aware datetimes of one zone compare by their digits, not by instants."""
    aware = moment.astimezone() if zone is None else moment.replace(tzinfo=zone)
    offset = aware.utcoffset() or timedelta()
    return moment.replace(tzinfo=timezone(offset), fold=0)


def _fixed(offset: str) -> timezone:
    sign = -1 if offset[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(offset[1:3]), minutes=int(offset[4:6])))
