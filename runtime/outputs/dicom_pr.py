"""Grayscale Softcopy Presentation State (GSPS): zones and digits over the original image in a DICOM viewer."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, Any

import numpy as np

from lungsev import __version__
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.dicom_file import complete, encode_file
from lungsev.runtime.outputs.person_names import to_person_name
from lungsev.runtime.outputs.result_identity import image_uid, result_uid
from lungsev.runtime.outputs.source_header import header_for_highdicom, read_source_header, to_stored_points
from lungsev.statements import signer, standing_statement, warnings

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER_PR = 9102
_LABELS = {"model": "LUNGSEV", "agreed": "AGREED", "corrected": "CORRECTED", "superseded": "SUPERSEDED"}


def encode_presentation_state(scored: ScoredRadiograph, zone: tzinfo | None) -> bytes | None:
    """Make the GSPS file of a scored DICOM image; None for an image without a score. It shows the main scheme."""
    if scored.report.status != "scored":
        return None
    return encode_file(presentation_state(scored.report, read_source_header(scored), zone))


def presentation_state(report: SeverityReport, header: Dataset, zone: tzinfo | None = None) -> Dataset:
    """Make the GSPS of a scored image whose header `read_source_header` returned."""
    from highdicom import PresentationLUTTransformation, pr

    assert report.model is not None
    layer = pr.GraphicLayer(layer_name="LUNGSEV", order=1, description="Severity zones, research use only")
    image = header_for_highdicom(header)
    state = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[image],
        series_instance_uid=image_uid(report, "series.pr"),
        series_number=SERIES_NUMBER_PR,
        sop_instance_uid=result_uid(report, "pr"),
        instance_number=report.standing.revision,
        manufacturer="lungsev",
        manufacturer_model_name=report.model.name[:64],
        software_versions=__version__,
        device_serial_number=report.model.bundle_sha256[:16],
        content_label=_LABELS[report.standing.state],
        content_description="Severity zones, research use only",
        graphic_annotations=[_annotation(report, header, image, layer)],
        graphic_layers=[layer],
        presentation_lut_transformation=PresentationLUTTransformation("INVERSE" if _is_inverse(header) else "IDENTITY"),
        series_description="lungsev zones, research use only",
    )
    state.ContentCreatorName = to_person_name(signer(report) or "") or None
    state.BodyPartExamined = "CHEST"
    complete(state, header, report, zone)
    _keep_lookup_table(state, header)
    return state


def _annotation(report: SeverityReport, header: Dataset, image: Dataset, layer: Any) -> Any:
    """Make the outlines and digits of the main scheme, and the line with total and notice."""
    from highdicom import pr

    name = report.main_scheme
    score, standing = report.scores[name], report.standing_score(name)
    outlines, texts = [], []
    for region in score.regions:
        corners = to_stored_points(region.polygon, header)
        closed = np.concatenate([corners, corners[:1]])
        outlines.append(pr.GraphicObject(pr.GraphicTypeValues.POLYLINE, closed, pr.AnnotationUnitsValues.PIXEL))
        # PIXEL coordinates of annotations start at 1 (PS3.3 C.10.5.1.1)
        middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
        x, y = (float(value) for value in np.maximum(middle, 1.0))
        grade, unit = standing.grades[region.code], pr.AnnotationUnitsValues.PIXEL
        text = f"{region.code}: {'not assessable' if grade is None else grade}"
        texts.append(pr.TextObject(text, unit, anchor_point=(x, y), anchor_point_visible=False))
    below = (0.02, 0.94, 0.98, 0.99)
    texts.append(pr.TextObject(_summary(report, name), pr.AnnotationUnitsValues.DISPLAY, bounding_box=below))
    if warned := warnings(report):
        above = (0.02, 0.01, 0.98, 0.06)
        texts.append(pr.TextObject(" ".join(warned), pr.AnnotationUnitsValues.DISPLAY, bounding_box=above))
    return pr.GraphicAnnotation(
        referenced_images=[image], graphic_layer=layer, graphic_objects=outlines, text_objects=texts
    )


def _summary(report: SeverityReport, name: str) -> str:
    score = report.standing_score(name)
    interval = f" ({score.likely[0]}-{score.likely[1]})" if score.likely else ""
    parts = [f"{name} {score.words}{interval}."]
    if report.standing.state != "superseded":  # which is said above the image
        parts.append(standing_statement(report) or "")
    parts += [f"Change: {report.change.words}." if report.change else "", report.disclaimer]
    return " ".join(part for part in parts if part)


def _is_inverse(header: Dataset) -> bool:
    """Whether the image is shown inverted: a presentation state replaces its polarity (PS3.3 C.11.6), so repeats it."""
    return header.get("PhotometricInterpretation") == "MONOCHROME1" or header.get("PresentationLUTShape") == "INVERSE"


def _keep_lookup_table(state: Dataset, header: Dataset) -> None:
    """Stretch the image's own VOI LUT to the full range of 16 bits.

    A presentation state knows tables of 8 or 16 bits only. highdicom copies a 12-bit table unchanged and calls it
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
