"""Decisions made by hand, for tests of what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lungsev.patient import PatientInfo
from lungsev.runtime.patients.decision import Decision, Kind


def decision(
    seq: int,
    kind: Kind,
    subject: str,
    object_: str | None = None,
    details: Mapping[str, Any] | None = None,
    *,
    by: str | None = "AB",
    reason: str = "a reason",
) -> Decision:
    """A decision that was made `seq` minutes after noon."""
    at = f"2026-11-22T12:{seq:02d}:00+00:00"
    return Decision(seq, kind, subject, object_, details or {}, reason, by, "dashboard", None, at)


def people(*groups: tuple[PatientInfo, ...]) -> dict[str, Any]:
    """The details of a merge, a split or a confirmation."""
    return {"people": [[{"name": item.name, "birth_date": item.birth_date} for item in group] for group in groups]}


def correction(seq: int, image: str, changes: Mapping[str, tuple[int, int]], by: str = "AB") -> Decision:
    """A correction of Brixia zones as earlier releases kept it: code to grade before and after, no other grades."""
    regions = {code: [before, before, after] for code, (before, after) in changes.items()}
    return decision(seq, "correction", image, None, {"scheme": "brixia", "model": "m", "regions": regions}, by=by)
