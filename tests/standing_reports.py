"""Reports in every state that a result can be in, made from one scored image: for the tests of outputs."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataset import Dataset

from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import Quality, QualityFlag
from lungsev.standing import Change, OutputState, Standing, StandingEntry

SIGNER = "Łukasz A. Reader"
SIGNED_AT = "2026-11-22T09:30:00Z"
STOP = "The images of this patient id name different people: name, birth date differ."
REASON = "The image was sent again for another patient."
WORSE = Change("worse", "probably worse, 92 %", 0.921, 6, "earlier", 11.8)
FLAG = QualityFlag("rotated", "warn", "The patient is rotated.")
PATIENT = PatientInfo(
    id="4711",
    issuer="HOSP-A",
    qualifiers={"universal_id": "1.2.276.0.76.3", "universal_id_type": "ISO", "id_type": "PI", "facility": "Ward 7"},
    name="Yamada^Tarou^^Dr.^Jr.=山田^太郎=やまだ^たろう",
    birth_date="1950-02-01",
    sex="M",
)
MODEL = (0, 1, 2, 3, 2, 1)
CORRECTED = dict(zip("ABCDEF", (3, 3, 3, 3, 0, 0), strict=True))
_FIRST = StandingEntry("model", "2026-11-22T08:16:00Z")
_CORRECTION = StandingEntry("corrected", SIGNED_AT, SIGNER, None, {"brixia": CORRECTED})

_AGREEMENT = StandingEntry("agreed", SIGNED_AT, SIGNER)
_REPLACED = StandingEntry("superseded", SIGNED_AT, None, REASON)

STATES = {
    "model": Standing(),
    "agreed": Standing("agreed", 2, {}, SIGNER, SIGNED_AT, history=(_FIRST, _AGREEMENT)),
    "corrected": Standing("corrected", 2, {"brixia": CORRECTED}, SIGNER, SIGNED_AT, history=(_FIRST, _CORRECTION)),
    "superseded": Standing(
        "superseded", 2, {}, None, SIGNED_AT, REASON, superseded_by="20261122-b", history=(_FIRST, _REPLACED)
    ),
    "superseded correction": Standing(
        "superseded", 3, {"brixia": CORRECTED}, None, SIGNED_AT, REASON, superseded_by="20261122-b",
        history=(_FIRST, _CORRECTION, _REPLACED),
    ),
}  # fmt: skip
MOMENTS = {
    "second": Moment("2026-11-22T08:15:30", "second", "+01:00", "site"),
    "date alone": Moment("2026-11-22", "day"),
    "doubled hour": Moment("2026-10-25T02:30:00", "second"),  # when clocks go back, in Rome
    "none": None,
}


def name_patient(dataset: Dataset) -> None:
    """Give the header of an image the patient of these reports."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientID, dataset.IssuerOfPatientID, dataset.PatientName = PATIENT.id, PATIENT.issuer, PATIENT.name
    dataset.PatientBirthDate, dataset.PatientSex, dataset.AccessionNumber = "19500201", "M", "ACC-1"
    facility, item = Dataset(), Dataset()
    facility.LocalNamespaceEntityID = "Ward 7"
    item.UniversalEntityID, item.UniversalEntityIDType, item.IdentifierTypeCode = "1.2.276.0.76.3", "ISO", "PI"
    item.AssigningFacilitySequence = [facility]
    dataset.IssuerOfPatientIDQualifiersSequence = [item]


def in_state(
    scored: ScoredRadiograph, state: str = "model", when: str = "second", **changes: object
) -> ScoredRadiograph:
    """Give a scored image a patient, a moment, a remark, a change and what stands of it."""
    moment = MOMENTS[when]
    image = replace(
        scored.report.image, patient_id=PATIENT.id, acquired_at=moment and moment.at, accession_number="ACC-1"
    )
    report = replace(
        scored.report,
        image=image,
        patient=PATIENT,
        acquired=moment,
        quality=Quality("warn", (FLAG,)),
        standing=STATES[state],
        change=WORSE,
        outputs=tuple(OutputState(name) for name in ("json", "dicom_sr", "dicom_sc")),
    )
    return replace(scored, report=replace(report, **changes))
