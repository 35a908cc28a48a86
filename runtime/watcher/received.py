"""Received images: what the site adds to their headers, and which of them came before.

The same pixels of the same patient, study, series and accession are a duplicate. The same pixels under another of these
are a corrected header: the result is issued again, and the earlier one is superseded. A moment that certainly differs
makes another image, whatever else is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Literal

from lungsev.moment import Moment
from lungsev.patient import PatientInfo, disagreements
from lungsev.pipeline import ScoredRadiograph
from lungsev.reading.codecs import HALF_SIZE
from lungsev.report import ImageInfo, QualityFlag, SeverityReport, Verdict
from lungsev.runtime.settings import SiteSettings
from lungsev.standing import Standing

Kind = Literal["duplicate", "reissue", "same_uid", "same_pixels"]

_WRONG_DATE = (
    "The X-ray is dated {date}, which cannot be right: check the clock of the unit. It has no place in the patient's "
    "course."
)
_WARNINGS = {
    "same_uid": (
        "same_uid_other_pixels",
        "Another image with the same identity but other pixels was scored as {twin}: one of the two is mislabelled.",
    ),
    "same_pixels": (
        "same_pixels_other_time",
        "The same picture was scored as {twin} with another time: one of the two files is mislabelled.",
    ),
}


@dataclass(frozen=True)
class Twin:
    """An earlier scored image with the same pixels or the same SOP Instance UID, and its report."""

    image_id: str
    report: SeverityReport


@dataclass(frozen=True)
class Resemblance:
    """How an image resembles an earlier one.

    Attributes:
        kind: `duplicate`; `reissue`: the same pixels under a corrected header; `same_uid` and `same_pixels`: another
            image that deserves a warning.
    """

    kind: Kind
    twin: Twin

    @property
    def correction(self) -> str:
        """Say that the header was corrected, without naming a patient."""
        return "The same image was sent again with a corrected header."


def with_site(report: SeverityReport, site: SiteSettings, received: datetime) -> SeverityReport:
    """Return a report as the site completes it.

    Args:
        report: As the image's header says it.
        site: Zone of times without an offset, issuer of ids without one.
        received: When the image arrived; one that is dated later gets a warning, as one from before 1980 does.
    """
    acquired = report.acquired.with_site_zone(site.zone) if report.acquired else None
    report = replace(report, patient=_patient_at(report.patient, site), acquired=acquired)
    if report.status != "scored" or acquired is None or acquired.is_plausible(received):
        return report
    return _warned(report, "date_not_plausible", _WRONG_DATE.format(date=acquired.date))


def find_resemblance(image: ImageInfo, twins: Sequence[Twin], site: SiteSettings) -> Resemblance | None:
    """Say whether an image came before.

    Args:
        image: The new image.
        twins: Scored images with the same pixels or SOP Instance UID, oldest first.
        site: What the headers leave open.
    """
    patient = _patient_at(image.patient, site)
    same_pixels = [twin for twin in twins if twin.report.image.pixel_sha256 == image.pixel_sha256]
    same_time = [
        twin
        for twin in twins
        if (twin in same_pixels or _is_other_encoding(twin.report.image, image))
        and not _differ(twin.report.acquired, image.acquired, site.zone)
    ]
    for twin in reversed(same_time):
        if _is_duplicate(image, patient, twin.report):
            return Resemblance("duplicate", twin)
    if same_time:
        return Resemblance("reissue", same_time[-1])
    if same_pixels:
        return Resemblance("same_pixels", same_pixels[-1])
    return Resemblance("same_uid", twins[-1]) if twins else None


def reissued(scored: ScoredRadiograph, earlier: SeverityReport) -> ScoredRadiograph:
    """Return the earlier score under the new header. Pixels and header come from the new file."""
    report = scored.report
    again = replace(
        earlier,
        image=report.image,
        patient=report.patient,
        acquired=report.acquired,
        timing_ms=report.timing_ms,
        standing=Standing(),
        change=None,
        stop=None,
        outputs=(),
    )
    same_model = earlier.model == report.model
    return replace(scored, report=again, severity_map=scored.severity_map if same_model else {})


def with_warning(scored: ScoredRadiograph, resemblance: Resemblance) -> ScoredRadiograph:
    """Return another image with a warning that its header resembles an earlier one's."""
    code, text = _WARNINGS[resemblance.kind]
    return replace(scored, report=_warned(scored.report, code, text.format(twin=resemblance.twin.image_id)))


def _warned(report: SeverityReport, code: str, message: str) -> SeverityReport:
    quality = report.quality
    verdict: Verdict = "warn" if quality.verdict == "ok" else quality.verdict
    flags = (*quality.flags, QualityFlag(code, "warn", message))
    return replace(report, quality=replace(quality, verdict=verdict, flags=flags))


def _patient_at(patient: PatientInfo, site: SiteSettings) -> PatientInfo:
    if site.issuer is None or patient.id is None or patient.issuer or patient.qualifiers:
        return patient
    return replace(patient, issuer=site.issuer)


def _is_other_encoding(earlier: ImageInfo, image: ImageInfo) -> bool:
    """Whether the pixels of two images of one identity and size cannot be compared: one was read at half size."""
    halved = [HALF_SIZE in (each.decoder or "") for each in (earlier, image)]
    alike = [(each.sop_instance_uid, each.rows, each.columns) for each in (earlier, image)]
    return halved[0] != halved[1] and alike[0] == alike[1] and image.sop_instance_uid is not None


def _is_duplicate(image: ImageInfo, patient: PatientInfo, earlier: SeverityReport) -> bool:
    """Whether nothing that matters was corrected. A copy that names no patient corrects nothing."""
    if patient.key is None:
        return True
    before = earlier.image
    return (
        patient.key == earlier.patient.key
        and not disagreements((patient, earlier.patient))
        and image.study_instance_uid == before.study_instance_uid
        and image.series_instance_uid == before.series_instance_uid
        and image.accession_number == before.accession_number
    )


def _differ(one: Moment | None, other: Moment | None, zone: tzinfo | None) -> bool:
    """Whether two moments are certainly different instants."""
    return one is not None and other is not None and bool(one.is_before(other, zone) or other.is_before(one, zone))
