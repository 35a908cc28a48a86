"""Catalog of the output formats, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import tzinfo

from lungsev.drawing.overlay import draw_overlay, encode_png
from lungsev.errors import ConfigError
from lungsev.runtime.outputs.contract import FileOutput, Output
from lungsev.runtime.outputs.csv_file import CsvTable
from lungsev.runtime.outputs.dashboard_layers import encode_image, encode_severity_map
from lungsev.runtime.outputs.dicom_file import require_highdicom
from lungsev.runtime.outputs.dicom_ko import encode_rejection_note
from lungsev.runtime.outputs.dicom_pr import encode_presentation_state
from lungsev.runtime.outputs.dicom_sc import encode_secondary_capture
from lungsev.runtime.outputs.dicom_sr import encode_structured_report
from lungsev.runtime.outputs.fhir_json import encode_fhir
from lungsev.runtime.outputs.hl7_oru import encode_hl7

DEFAULT_OUTPUTS = ("json", "overlay")
DASHBOARD_OUTPUTS = ("image", "severity_map")  # what the dashboard shows beside reports and overlays
_NEED_HIGHDICOM = {
    "dicom_sr": "DICOM SR output",
    "dicom_pr": "DICOM presentation state output",
    "dicom_ko": "DICOM rejection note output",
}

_KNOWN: tuple[Output, ...] = (
    FileOutput("json", "reports", ".json", lambda scored, zone: (scored.report.to_json() + "\n").encode()),
    FileOutput("overlay", "overlays", ".png", lambda scored, zone: encode_png(draw_overlay(scored)), "pixels"),
    CsvTable(),
    FileOutput("dicom_sr", "dicom", ".sr.dcm", encode_structured_report, "header"),
    FileOutput("dicom_pr", "dicom", ".pr.dcm", encode_presentation_state, "header"),
    FileOutput("dicom_sc", "dicom", ".sc.dcm", encode_secondary_capture, "pixels"),
    FileOutput("dicom_ko", "dicom", ".ko.dcm", encode_rejection_note),
    FileOutput("fhir", "fhir", ".fhir.json", encode_fhir),
    FileOutput("hl7", "hl7", ".hl7", encode_hl7),
    FileOutput("image", "images", ".png", lambda scored, zone: encode_image(scored), "pixels"),
    FileOutput("severity_map", "maps", ".png", lambda scored, zone: encode_severity_map(scored), "pixels"),
)
OUTPUTS = {output.name: output for output in _KNOWN}


def open_outputs(names: Sequence[str] = DEFAULT_OUTPUTS, zone: tzinfo | None = None) -> tuple[Output, ...]:
    """Return the outputs of these names, each once, in the order given.

    Args:
        names: As in `OUTPUTS`.
        zone: The site's, for the times that results carry; None is this computer's.

    Raises:
        ConfigError: A name is unknown.
        MissingExtraError: A format needs an extra that is not installed.
    """
    unknown = [name for name in names if name not in OUTPUTS]
    if unknown:
        raise ConfigError(f"output {unknown[0]!r} is unknown; known are {', '.join(OUTPUTS)}")
    for name in names:
        if name in _NEED_HIGHDICOM:
            require_highdicom(_NEED_HIGHDICOM[name])
    return tuple(_in_zone(OUTPUTS[name], zone) for name in dict.fromkeys(names))


def _in_zone(output: Output, zone: tzinfo | None) -> Output:
    return replace(output, zone=zone) if isinstance(output, FileOutput) else output
