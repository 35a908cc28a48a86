"""Outputs by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lungsev.errors import ConfigError

from .contract import Output
from .csv_file import CsvTable
from .dicom_pr import DicomPr
from .dicom_sc import DicomSc
from .dicom_sr import DicomSr
from .fhir_json import FhirJson
from .hl7_oru import Hl7Oru
from .json_file import JsonFile
from .overlay_png import OverlayPng
from .screen_images import FilmPng, SeverityMapPng

DEFAULT_OUTPUTS = ("json", "overlay")
SCREEN_OUTPUTS = ("film", "severity_map")  # what the dashboard shows beside reports and overlays

OUTPUTS: dict[str, Callable[[], Output]] = {
    "json": JsonFile,
    "overlay": OverlayPng,
    "csv": CsvTable,
    "dicom_sr": DicomSr,
    "dicom_pr": DicomPr,
    "dicom_sc": DicomSc,
    "fhir": FhirJson,
    "hl7": Hl7Oru,
    "film": FilmPng,
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
