"""Text of the pages: labels of patients, ages, spans of time."""

from __future__ import annotations

import hashlib
from datetime import datetime

from lungsev.runtime.patients.history import Exam


def patient_label(exam: Exam, private: bool) -> str:
    """Return the patient's id, or in privacy mode a stand-in that stays the same."""
    if private:
        return "Patient " + hashlib.sha256(exam.course.encode()).hexdigest()[:4].upper()
    return printable(exam.patient)


def printable(text: str) -> str:
    """Replace control, direction and line characters, which would change the text around them."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def format_age(moment: datetime, now: datetime) -> str:
    """Say how long ago a moment was, in whole units: `5 min ago`, `17 h ago`, from two days on `6 days ago`."""
    seconds = (now - moment).total_seconds()
    if seconds < -300:
        return "dated in the future"
    unit, length = _unit(seconds)
    return f"{int(seconds // length)} {unit} ago" if seconds >= 60 else "just now"


def format_span(seconds: float) -> str:
    """Return a length of time, rounded to minutes, hours or, from two days on, days."""
    unit, length = _unit(seconds)
    return f"{round(seconds / length)} {unit}"


def _unit(seconds: float) -> tuple[str, int]:
    if seconds >= 2 * 86400:
        return "days", 86400
    return ("h", 3600) if seconds >= 3600 else ("min", 60)
