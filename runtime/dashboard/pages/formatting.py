"""Text of the pages: moments at their own precision, ages, spans of time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, tzinfo

from lungsev.moment import Moment
from lungsev.runtime.patients.history import Exam

TIME_NOT_RECORDED = "time not recorded"
_SLACK_SECONDS = 300  # by which a device's clock may be ahead


def printable(text: str) -> str:
    """Replace control, direction and line characters, which would change the text around them."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def format_date(text: str) -> str:
    """Return an ISO 8601 date, which may lack its day or month, for people: `18 Nov 2026`, `Nov 2026`, `2026`."""
    parts = text.split("-")
    if len(parts) == 1:
        return text
    month = date(2000, int(parts[1]), 1).strftime("%b")
    return f"{int(parts[2])} {month} {parts[0]}" if len(parts) == 3 else f"{month} {parts[0]}"


def format_moment(moment: Moment, zone: tzinfo | None = None) -> str:
    """Return a moment for people, never more exact than it is: `18 Nov 2026, 06:50`.

    Args:
        moment: When an image was taken.
        zone: The site's; the offset is named where it differs from the zone's. None is this computer's.
    """
    day = format_date(moment.date)
    if not moment.has_time:
        return f"{day}, {TIME_NOT_RECORDED if moment.precision == 'day' else 'day not recorded'}"
    instant = moment.earliest(zone)
    is_foreign = moment.offset is not None and instant.utcoffset() != instant.astimezone(zone).utcoffset()
    return f"{day}, {moment.clock}" + (f" (UTC{moment.offset})" if is_foreign else "")


def format_instant(instant: datetime, zone: tzinfo | None = None) -> str:
    """Return an instant in the site's zone, to the minute: `18 Nov 2026, 06:50`."""
    local = instant.astimezone(zone)
    return f"{format_date(f'{local:%Y-%m-%d}')}, {local:%H:%M}"


def format_taken(exam: Exam, zone: tzinfo | None = None) -> str:
    """Say when an image was taken, or else that its time is unknown and when it was received."""
    if exam.acquired is not None:
        return format_moment(exam.acquired, zone)
    received = f"received {format_instant(exam.received_at, zone)}"
    if exam.report.acquired is not None:
        return f"dated {format_date(exam.report.acquired.date)}, which cannot be right; {received}"
    return f"date not recorded; {received}"


def format_exam_age(exam: Exam, now: datetime) -> str:
    """Say how old an image is, no more exactly than its time is known: of a date alone `today`, `3 days ago`."""
    moment = exam.acquired
    if moment is None or moment.has_time:
        return format_age(exam.moment, now)
    if moment.precision != "day":
        return format_date(moment.date)
    days = (now.date() - date.fromisoformat(moment.date)).days
    return {0: "today", 1: "yesterday"}.get(days, f"{days} days ago" if days > 0 else format_date(moment.date))


def format_age(moment: datetime, now: datetime) -> str:
    """Say how long ago a moment was, in whole units: `5 min ago`, `17 h ago`, from two days on `6 days ago`."""
    seconds = (now - moment).total_seconds()
    if seconds < -_SLACK_SECONDS:
        return "dated in the future"
    unit, length = _unit(seconds)
    return f"{int(seconds // length)} {unit} ago" if seconds >= 60 else "just now"


def format_grade(grade: int | None) -> str:
    """Return a grade, or `not assessable`."""
    return "not assessable" if grade is None else str(grade)


def format_sum(grades: Mapping[str, int | None]) -> str:
    """Return the total of some grades; where not every region has one, of how many it is: `9 (5 of 6 zones)`."""
    known = [grade for grade in grades.values() if grade is not None]
    if len(known) == len(grades):
        return str(sum(known)) if grades else ""
    return f"{sum(known)} ({len(known)} of {len(grades)} zones)"


def order_is_unknown(one: Exam, other: Exam) -> bool:
    """Whether two images may have been taken in either order because a time of theirs is not recorded."""
    if one.acquired is None or other.acquired is None or (one.acquired.has_time and other.acquired.has_time):
        return False
    return one.acquired.is_before(other.acquired) is None


def _unit(seconds: float) -> tuple[str, int]:
    if seconds >= 2 * 86400:
        return "days", 86400
    return ("h", 3600) if seconds >= 3600 else ("min", 60)
