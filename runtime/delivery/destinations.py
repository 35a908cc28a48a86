"""Settings of the destinations that results are sent to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

AeTitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[!-\[\]-~ ]+$")]  # PS3.5 6.2, no backslash
SOP_CLASSES = {  # of the outputs that are DICOM objects
    "dicom_sr": "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
    "dicom_pr": "1.2.840.10008.5.1.4.1.1.11.1",  # Grayscale Softcopy Presentation State
    "dicom_sc": "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "dicom_ko": "1.2.840.10008.5.1.4.1.1.88.59",  # Key Object Selection: the rejection note
}


class _Destination(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    sends: tuple[str, ...] = Field(min_length=1)  # names of outputs; each must be among `outputs`
    timeout_seconds: float = Field(default=30.0, gt=0, le=600)

    @field_validator("sends")
    @classmethod
    def _check_sends(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "csv" in value:
            raise ValueError("csv is one growing table for all images and cannot be sent; send json instead")
        return with_rejection_notes(value)


def with_rejection_notes(outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of outputs with `dicom_ko` where one is a DICOM object, which may have to be withdrawn."""
    return (*outputs, "dicom_ko") if "dicom_ko" not in outputs and set(outputs) & set(SOP_CLASSES) else outputs


class _DicomOnly(_Destination):
    @field_validator("sends")
    @classmethod
    def _check_dicom(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [name for name in value if name not in SOP_CLASSES]
        if wrong:
            raise ValueError(f"found output {wrong[0]!r}, expected some of {', '.join(SOP_CLASSES)}")
        return value


class DicomDestination(_DicomOnly):
    """A PACS or router, by C-STORE."""

    kind: Literal["dicom"]
    host: str
    port: int = Field(ge=1, le=65535)
    ae_title: AeTitle  # of the peer
    calling_ae_title: AeTitle = "LUNGSEV"  # of lungsev, as the peer knows it
    tls_authorities: Path | None = None  # switches TLS on: certificates that may sign the peer's
    tls_certificate: Path | None = None  # of lungsev, for peers that ask for one
    tls_key: Path | None = None

    @model_validator(mode="after")
    def _check_tls_files(self) -> DicomDestination:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together")
        if self.tls_certificate is not None and self.tls_authorities is None:
            raise ValueError("tls_certificate needs tls_authorities")
        return self


class _WebDestination(_Destination):
    url: str
    token_file: Path | None = None  # a bearer token, read before every request

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected a URL like https://pacs.example/dicom-web/studies")
        if parts.username or parts.password:
            raise ValueError("found a user name or password in the URL, expected none: use token_file")
        return value


class StowDestination(_WebDestination, _DicomOnly):
    """A DICOMweb server, by STOW-RS; the URL ends in /studies."""

    kind: Literal["stow"]


class WebhookDestination(_WebDestination):
    """Any web service: each file is posted unchanged."""

    kind: Literal["webhook"]
    secret_file: Path | None = None  # signs each body: X-Lungsev-Signature: sha256=<HMAC>


class FolderDestination(_Destination):
    """A folder, perhaps on a share, that another system empties."""

    kind: Literal["folder"]
    path: Path


Destination = Annotated[
    DicomDestination | StowDestination | WebhookDestination | FolderDestination, Field(discriminator="kind")
]
