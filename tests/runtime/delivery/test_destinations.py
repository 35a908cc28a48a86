from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from lungsev.runtime.delivery.destinations import Destination


def destination(**fields: Any) -> Destination:
    return TypeAdapter(Destination).validate_python({"name": "there", "sends": ["json"], **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "webhook", "url": "ftp://there"},
        {"kind": "webhook", "url": "https://user:word@there"},
        {"kind": "stow", "url": "https://there", "sends": ["json"]},
        {"kind": "dicom", "host": "there", "port": 104, "ae_title": "A" * 17, "sends": ["dicom_sr"]},
        {"kind": "dicom", "host": "there", "port": 104, "ae_title": "PACS", "sends": ["overlay"]},
        {"kind": "folder", "path": "x", "sends": []},
        {"kind": "folder", "path": "x", "sends": ["csv"]},
        {"kind": "folder", "path": "x", "name": "../x"},
        {"kind": "pigeon"},
    ],
)
def test_a_destination_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        destination(**fields)


def test_every_kind_of_destination_is_chosen_by_its_name() -> None:
    fields = {
        "folder": {"path": "/mnt"},
        "webhook": {"url": "https://there/hook"},
        "stow": {"url": "https://there/studies", "sends": ["dicom_sr"]},
        "dicom": {"host": "there", "port": 104, "ae_title": "PACS", "sends": ["dicom_sr", "dicom_sc"]},
    }
    assert [destination(kind=kind, **more).kind for kind, more in fields.items()] == list(fields)


def test_half_of_the_tls_files_is_refused() -> None:
    dicom = {"kind": "dicom", "host": "there", "port": 104, "ae_title": "PACS", "sends": ["dicom_sr"]}
    with pytest.raises(ValidationError, match="belong together"):
        destination(**dicom, tls_authorities="ca.pem", tls_key="key.pem")
    with pytest.raises(ValidationError, match="needs tls_authorities"):
        destination(**dicom, tls_certificate="cert.pem", tls_key="key.pem")
