"""HL7 v2.5.1 ORU^R01: one message for each scored image, for the hospital's interface engine.

One OBX for each region and total. Status P (preliminary) while nobody has signed, F where a reader signed before
anything was sent, C for what a reader agreed to or corrected afterwards, W (posted as wrong) when superseded. Method
AIAST (asserted by artificial intelligence) while the grades are the model's alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timezone, tzinfo

from lungsev.patient import PatientInfo
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import RegionScore, SeverityReport
from lungsev.runtime.outputs import codes
from lungsev.runtime.outputs.codes import Code
from lungsev.runtime.outputs.person_names import split_name
from lungsev.runtime.outputs.result_identity import image_uuid, result_uuid
from lungsev.statements import SIGNED, as_standing_in, change_percent, is_amended, remarks, signer, warnings

_METHOD = "AIAST^Artificial Intelligence asserted^HL7-ObservationValue"
_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_NAME_REPRESENTATIONS = {"alphabetic": "A", "ideographic": "I", "phonetic": "P"}  # table 4000


def encode_hl7(scored: ScoredRadiograph, zone: tzinfo | None) -> bytes | None:
    """Make the HL7 file of a scored image; None for others."""
    return oru_message(scored.report, zone).encode() if scored.report.status == "scored" else None


def oru_message(report: SeverityReport, zone: tzinfo | None = None) -> str:
    """Make the message, each segment ended by CR; `zone` is the site's, None is this computer's."""
    return "".join(segment + "\r" for segment in _segments(report, datetime.now(timezone.utc).astimezone(zone)))


def escape(value: object) -> str:
    """Return the text of a field: delimiters and what is not printable as escape sequences (section 2.7).

    Nothing is left out: two ids that differ stay different.
    """
    text = re.sub(r"[^\\|^&~]", lambda match: match[0] if match[0].isprintable() else "\0" + match[0], str(value))
    parts = re.split("((?:\0.)+)", text, flags=re.DOTALL)
    return "".join(
        f"\\X{part[1::2].encode('utf-8', 'surrogatepass').hex().upper()}\\" if at % 2 else _escape_delimiters(part)
        for at, part in enumerate(parts)
    )


def result_status(report: SeverityReport) -> str:
    """Return the status of the observations (table 0085)."""
    if report.standing.state == "superseded":
        return "W"
    if is_amended(report):
        return "C"
    return "F" if report.standing.state in SIGNED else "P"


def _segments(report: SeverityReport, now: datetime) -> Iterator[str]:
    image, model = report.image, report.model
    assert model is not None
    written = now.strftime("%Y%m%d%H%M%S%z")[:19]
    control = result_uuid(report, "hl7").hex[:20]
    kind = f"ORU^R01^ORU_R01|{control}|P|2.5.1||||||UNICODE UTF-8"
    yield f"MSH|^~\\&|LUNGSEV|{escape(model.name[:60])}|||{written}||{kind}"
    yield _patient_segment(report)
    status, signed = result_status(report), signer(report)
    order = {
        1: "1",
        2: escape(image.accession_number or ""),
        3: image_uuid(report, "hl7").hex[:20],  # of every revision: the later replaces the earlier
        4: _coded(codes.CHEST_IMAGE),
        7: _acquired(report),
        18: escape(image.accession_number or ""),
        22: written,
        24: "RAD",
        25: "C" if status == "W" else status,  # table 0123 has no W
        32: f"&{escape(signed)}" if signed else "",
    }
    yield _segment("OBR", order)
    yield from _observations(report)


def _patient_segment(report: SeverityReport) -> str:
    """PID-3 names the identity that remains after a merge first, then that of the header."""
    patient, merged_into = report.patient, report.merged_into
    identifiers = "~".join(_identifier(found) for found in (merged_into, patient) if found is not None)
    sex = patient.sex if patient.sex in ("M", "F", "O") else "U" if patient.sex else ""
    birth = (patient.birth_date or "").replace("-", "")
    fields = {1: "1", 3: identifiers, 5: _names(patient.name), 7: birth if birth.isdecimal() else "", 8: sex}
    return _segment("PID", fields)


def _identifier(patient: PatientInfo) -> str:
    """CX: id, check digit and its scheme, assigning authority, type, facility (section 2.A.14)."""
    of = patient.qualifiers
    authority = (patient.issuer, of.get("universal_id"), of.get("universal_id_type"))
    facility = (
        of.get("facility"),
        of.get("facility_universal_id"),
        of.get("facility_universal_id_type"),
    )
    parts = [escape(patient.id or ""), "", "", _joined(authority), escape(of.get("id_type", "MR")), _joined(facility)]
    more = [_joined((of.get(name),)) for name in ("jurisdiction", "agency")]
    return "^".join([*parts, "", "", *more]).rstrip("^")


def _joined(parts: tuple[str | None, ...]) -> str:
    return "&".join(escape(part or "") for part in parts).rstrip("&")


def _names(text: str | None) -> str:
    """XPN: family, given, middle, suffix, prefix, degree, type, representation (section 2.A.88)."""
    names = [
        "^".join(
            [
                *(escape(part) for part in (name.family, name.given, name.middle, name.suffix, name.prefix)),
                "",
                "L",
                _NAME_REPRESENTATIONS[name.representation],
            ]
        )
        for name in split_name(text)
    ]
    return "~".join(names) or "^^^^^^U"  # unspecified


def _observations(report: SeverityReport) -> Iterator[str]:
    number = 0

    def observe(kind: str, code: Code, value: object, unit: Code | None = None, stands: SeverityReport = report) -> str:
        nonlocal number
        number += 1
        signed, status = signer(stands), result_status(stands)
        fields = {
            1: str(number),
            2: kind,
            3: _coded(code),
            5: "" if value is None else escape(value),
            6: f"{escape(unit.value)}^{unit.meaning}^UCUM" if unit else "",
            11: "X" if value is None and status != "W" else status,
            14: _acquired(report),
            16: f"^{escape(signed)}" if signed else "",
            17: "" if signed else _METHOD,
        }
        return _segment("OBX", fields)

    for warning in warnings(report):
        yield observe("ST", codes.WARNING, warning)
    image = report.image
    uids = (
        (codes.STUDY, image.study_instance_uid),
        (codes.SERIES_UID, image.series_instance_uid),
        (codes.IMAGE_UID, image.sop_instance_uid),
    )
    for code, uid in uids:
        if uid:
            yield observe("HD" if code is codes.STUDY else "ST", code, uid)
    yield from _scores(report, observe)
    if report.change is not None:
        yield observe("ST", codes.CHANGE, report.change.words)
        if (percent := change_percent(report)) is not None:
            yield observe("NM", codes.CHANGE_PROBABILITY, percent, codes.PERCENT)
    for remark in remarks(report):
        yield observe("ST", codes.REMARK, remark)


def _scores(report: SeverityReport, observe: Callable[..., str]) -> Iterator[str]:
    """Yield total and regions of every scheme; `observe` makes the segment of a value."""
    for name, score in report.scores.items():
        standing, stands = report.standing_score(name), as_standing_in(report, name)
        yield observe("NM", codes.total_code(name), standing.total, codes.SCORE_UNIT, stands)
        if standing.total is None:
            yield f"NTE|1||{codes.NO_TOTAL.meaning}"
        elif standing.interval is not None:
            yield f"NTE|1||likely {standing.interval[0]}-{standing.interval[1]}"  # OBX-7 is a reference range
        elif standing.model_total is not None and standing.model_total != standing.total:
            yield f"NTE|1||the model said {standing.model_total}"
        if standing.partial is not None:
            yield observe("NM", codes.partial_code(name), standing.points, codes.SCORE_UNIT, stands)
            yield f"NTE|1||{standing.words}; not comparable with totals"
        for region in score.regions:
            grade = standing.grades[region.code]
            yield observe("NM", codes.region_code(name, region.code), grade, codes.SCORE_UNIT, stands)
            yield _region_note(region, grade)


def _region_note(region: RegionScore, grade: int | None) -> str:
    site, laterality = codes.region_site(region)
    place = f"{escape(site.meaning)}{', ' + laterality.meaning.lower() if laterality else ''}"
    why = region.not_assessable or codes.NOT_ASSESSABLE.meaning
    return f"NTE|1||{place}" + ("" if grade is not None else f": {escape(why)}")


def _acquired(report: SeverityReport) -> str:
    return report.acquired.hl7() if report.acquired else ""


def _segment(name: str, fields: dict[int, str]) -> str:
    return "|".join([name, *(fields.get(number, "") for number in range(1, max(fields) + 1))]).rstrip("|")


def _coded(code: Code) -> str:
    return f"{escape(code.value)}^{escape(code.meaning)}^{code.scheme}"


def _escape_delimiters(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
