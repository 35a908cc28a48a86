"""HL7 v2.5.1 ORU^R01: one message for each scored image, for the hospital's interface engine.

One OBX for each region and total. Status P (preliminary), method AIAST (asserted by artificial intelligence).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs import codes
from lungsev.runtime.outputs.codes import Code
from lungsev.runtime.outputs.source_header import read_source_header, result_uuid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_METHOD = "AIAST^Artificial Intelligence asserted^HL7-ObservationValue"
_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_SYSTEMS = {"SCT": "SCT", "LN": "LN", codes.PRIVATE_SCHEME: codes.PRIVATE_SCHEME}


def encode_hl7(scored: ScoredRadiograph) -> bytes | None:
    """Make the HL7 file of a scored image; None for others."""
    if scored.report.status != "scored":
        return None
    return oru_message(scored.report, read_source_header(scored)).encode()


def oru_message(report: SeverityReport, header: Dataset | None = None) -> str:
    """Make the message, each segment ended by CR; `header` gives the accession number by which the order is found."""
    return "".join(segment + "\r" for segment in _segments(report, header))


def escape(value: object) -> str:
    """Return the text of a field: delimiters escaped, control characters and line ends removed (section 2.7)."""
    text = "".join(character for character in str(value) if character.isprintable())
    return "".join(_ESCAPES.get(character, character) for character in text)


def _segments(report: SeverityReport, header: Dataset | None) -> Iterator[str]:
    image, model = report.image, report.model
    assert model is not None
    now = datetime.now().strftime("%Y%m%d%H%M%S")
    control = result_uuid(report, "hl7").hex[:20]
    acquired = datetime.fromisoformat(image.acquired_at).strftime("%Y%m%d%H%M%S") if image.acquired_at else ""
    accession = escape(header.get("AccessionNumber") or "") if header is not None else ""
    yield f"MSH|^~\\&|LUNGSEV|{escape(model.name)[:60]}|||{now}||ORU^R01^ORU_R01|{control}|P|2.5.1|||||||UNICODE UTF-8"
    yield f"PID|1||{escape(image.patient_id or '')}^^^^MR||^"
    yield f"OBR|1|{accession}|{control}|{_coded(codes.CHEST_IMAGE)}|||{acquired}|||||||||||||||{now}||RAD|P"
    number = 0
    for name, score in report.scores.items():
        low, high = score.total_interval
        yield _numeric(number := number + 1, codes.total_code(name), score.total, f"{low}-{high}", acquired)
        for region in score.regions:
            site, laterality = codes.region_site(region)
            code = codes.region_code(name, region.code)
            yield _numeric(number := number + 1, code, region.grade, "", acquired)
            yield f"NTE|1||{escape(site.meaning)}{', ' + laterality.meaning.lower() if laterality else ''}"
    for remark in (report.disclaimer, *(flag.message for flag in report.quality.flags)):
        note = Code("NOTE", codes.PRIVATE_SCHEME, "Remark")
        yield f"OBX|{(number := number + 1)}|ST|{_coded(note)}||{escape(remark)}||||||P|||{acquired}|||{_METHOD}"


def _numeric(number: int, code: Code, value: int, interval: str, acquired: str) -> str:
    """Make an OBX of type NM; the interval goes to its note, since OBX-7 is a reference range."""
    unit = f"{{score}}^{codes.SCORE_UNIT.meaning}^UCUM"
    segment = f"OBX|{number}|NM|{_coded(code)}||{value}|{unit}|||||P|||{acquired}|||{_METHOD}"
    return segment + (f"\rNTE|1||likely {interval}" if interval else "")


def _coded(code: Code) -> str:
    return f"{escape(code.value)}^{escape(code.meaning)}^{_SYSTEMS[code.scheme]}"
