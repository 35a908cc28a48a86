"""Grayscale Softcopy Presentation State: zones and digits laid over the original image in the hospital's viewer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lungsev import __version__
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.dicom_sr import complete, encode, require_highdicom
from lungsev.runtime.outputs.source_header import read_source_header, result_uid, tamed, to_stored_points
from lungsev.system import write_atomically

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER_PR = 9102


@dataclass(frozen=True)
class DicomPr:
    """Scored DICOM images; nothing for others. Shows the main scheme."""

    name: str = "dicom_pr"
    folder: str = "dicom"
    suffix: str = ".pr.dcm"

    def __post_init__(self) -> None:
        require_highdicom("DICOM presentation state output")

    def write(self, scored: ScoredRadiograph, target: Path) -> Path | None:
        header = read_source_header(scored) if scored.report.status == "scored" else None
        if header is None:
            return None
        write_atomically(target, encode(presentation_state(scored.report, header)))
        return target


def presentation_state(report: SeverityReport, header: Dataset) -> Dataset:
    """The GSPS of a scored image."""
    from highdicom import PresentationLUTTransformation, pr

    assert report.model is not None
    name = report.main_scheme
    score = report.scores[name]
    layer = pr.GraphicLayer(layer_name="LUNGSEV", order=1, description="Severity zones, research use only")
    outlines, digits = [], []
    for region in score.regions:
        corners = to_stored_points(region.polygon, header)
        closed = np.concatenate([corners, corners[:1]])
        outlines.append(pr.GraphicObject(pr.GraphicTypeValues.POLYLINE, closed, pr.AnnotationUnitsValues.PIXEL))
        # PIXEL coordinates of annotations start at 1 (PS3.3 C.10.5.1.1)
        x, y = (float(value) for value in np.maximum(corners.mean(axis=0), 1.0))
        digits.append(
            pr.TextObject(
                f"{region.code}: {region.grade}",
                pr.AnnotationUnitsValues.PIXEL,
                anchor_point=(x, y),
                anchor_point_visible=False,
            )
        )
    image = tamed(header)
    low, high = score.total_interval
    summary = f"{name} {score.total} of {score.total_max} ({low}-{high}). {report.disclaimer}"
    notice = pr.TextObject(summary, pr.AnnotationUnitsValues.DISPLAY, bounding_box=(0.02, 0.94, 0.98, 0.99))
    state = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[image],
        series_instance_uid=result_uid(report, "series.pr"),
        series_number=SERIES_NUMBER_PR,
        sop_instance_uid=result_uid(report, "pr"),
        instance_number=1,
        manufacturer="lungsev",
        manufacturer_model_name=report.model.name[:64],
        software_versions=__version__,
        device_serial_number=report.model.bundle_sha256[:16],
        content_label="LUNGSEV",
        content_description="Severity zones, research use only",
        graphic_annotations=[
            pr.GraphicAnnotation(
                referenced_images=[image],
                graphic_layer=layer,
                graphic_objects=outlines,
                text_objects=[*digits, notice],
            )
        ],
        graphic_layers=[layer],
        presentation_lut_transformation=PresentationLUTTransformation("INVERSE" if _is_inverse(header) else "IDENTITY"),
        series_description="lungsev zones, research use only",
    )
    state.BodyPartExamined = "CHEST"
    complete(state, header, report)
    _keep_lookup_table(state, header)
    return state


def _is_inverse(header: Dataset) -> bool:
    """A presentation state takes the place of the image's own polarity (PS3.3 C.11.6), so it must repeat it."""
    return header.get("PhotometricInterpretation") == "MONOCHROME1" or header.get("PresentationLUTShape") == "INVERSE"


def _keep_lookup_table(state: Dataset, header: Dataset) -> None:
    """The image's own VOI LUT at full range of 16 bits.

    A presentation state knows tables of 8 or 16 bits only. highdicom takes a 12-bit table over as it is and calls it
    16 bits, which would show the image nearly black.
    """
    if "VOILUTSequence" not in header or "SoftcopyVOILUTSequence" not in state:
        return
    for item in state.SoftcopyVOILUTSequence:
        for table in item.get("VOILUTSequence", ())[:1]:
            bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
            if 8 < bits < 16:
                values = np.frombuffer(table.LUTData, "<u2").astype(np.float64)
                stretched = np.round(values * (65535 / (2**bits - 1))).clip(0, 65535)
                table.LUTData = stretched.astype("<u2").tobytes()
