"""Outputs by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lungsev.errors import ConfigError
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.outputs.csv_file import CsvTable
from lungsev.runtime.outputs.dashboard_layers import ImagePng, SeverityMapPng
from lungsev.runtime.outputs.dicom_pr import DicomPr
from lungsev.runtime.outputs.dicom_sc import DicomSc
from lungsev.runtime.outputs.dicom_sr import DicomSr
from lungsev.runtime.outputs.fhir_json import FhirJson
from lungsev.runtime.outputs.hl7_oru import Hl7Oru
from lungsev.runtime.outputs.json_file import JsonFile
from lungsev.runtime.outputs.overlay_png import OverlayPng

DEFAULT_OUTPUTS = ("json", "overlay")
DASHBOARD_OUTPUTS = ("image", "severity_map")  # what the dashboard shows beside reports and overlays

OUTPUTS: dict[str, Callable[[], Output]] = {
    "json": JsonFile,
    "overlay": OverlayPng,
    "csv": CsvTable,
    "dicom_sr": DicomSr,
    "dicom_pr": DicomPr,
    "dicom_sc": DicomSc,
    "fhir": FhirJson,
    "hl7": Hl7Oru,
    "image": ImagePng,
    "severity_map": SeverityMapPng,
}


def open_outputs(names: Sequence[str] = DEFAULT_OUTPUTS) -> tuple[Output, ...]:
    """The outputs of these names, each once, in the order given.

    Raises:
        ConfigError: A name is unknown.
        MissingExtraError: A format needs an extra that is not installed.
    """
    unknown = [name for name in names if name not in OUTPUTS]
    if unknown:
        raise ConfigError(f"output {unknown[0]!r} is unknown; known are {', '.join(OUTPUTS)}")
    return tuple(OUTPUTS[name]() for name in dict.fromkeys(names))
