"""Settings of the bedside commands; `configs/runtime/bedside.yaml` shows all of them with their defaults.

Explicit option > file > default; `lungsev.config.load_model` decides it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lungsev.bundle.zoo import find_bundle
from lungsev.inference.tensorrt.settings import EngineSettings
from lungsev.runtime.addresses import parse_networks
from lungsev.runtime.delivery.destinations import Destination, with_rejection_notes

_PUBLIC_URL_FORM = "found {!r}, expected an address like https://lungsev.ward.example"


def _require_pair(certificate: Path | None, key: Path | None) -> None:
    """Raise ValueError unless a TLS certificate and its key are both given, or neither."""
    if (certificate is None) != (key is None):
        raise ValueError("tls_certificate and tls_key belong together: give both or neither")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Section):
    """The model and the device it runs on."""

    bundle: Path | None = None  # path, or name in a zoo; None: the packaged one
    zoo: Path | None = None  # folder of bundles with their index; None: $LUNGSEV_ZOO
    backend: str = "auto"
    threads: int | None = Field(default=None, ge=1)  # None: as many as this process may use
    allow_unsigned: bool = False  # use a bundle from elsewhere that no trusted key has signed
    engine: EngineSettings = EngineSettings()  # of TensorRT, on a GPU

    def bundle_path(self) -> Path | None:
        """Return where the bundle is; None is the packaged one. Raises BundleError for an unknown name."""
        return None if self.bundle is None else find_bundle(self.bundle, self.zoo)


class SiteSettings(_Section):
    """What images leave open and the hospital knows."""

    timezone: str | None = None  # for example Europe/Rome, for times without an offset; None: this computer's
    issuer: str | None = Field(default=None, min_length=1)  # of patient ids without one

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError):
                raise ValueError(f"found {value!r}, expected a time zone like Europe/Rome") from None
        return value

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone; None is this computer's."""
        return ZoneInfo(self.timezone) if self.timezone is not None else None


class RetentionSettings(_Section):
    """Days to keep the files of finished images; None, the default, keeps them for ever."""

    archive_days: float | None = Field(default=None, ge=0)
    results_days: float | None = Field(default=None, ge=0)
    quarantine_days: float | None = Field(default=None, ge=0)


class WatchSettings(_Section):
    """The watched folder and how images are taken from it."""

    incoming: Path | None = None
    out: Path | None = None  # None: lungsev-out next to `incoming`
    leave_in_place: bool = False  # for shares that are mounted read-only
    originals: Literal["archive", "delete"] = "archive"  # what happens to an image once its result is on the disk
    scan_seconds: float | None = Field(default=None, gt=0, le=600)  # None: 1 on local disks, 5 on shares
    settle_seconds: float = Field(
        default=1.0, ge=0, le=600
    )  # a file must stay unchanged for this long, and over two scans
    closed_settle_seconds: float = Field(
        default=0.1, ge=0, le=600
    )  # the same for a whole image whose writer has closed it or moved it here
    unrecognised_settle_seconds: float = Field(
        default=10.0, ge=0, le=600
    )  # the same for data that is not an image: it may be a copy that starts with zeros
    incomplete_seconds: float = Field(
        default=600.0, gt=0
    )  # then an incomplete file is quarantined, for a person to look at
    max_depth: int = Field(default=600, ge=1, le=5000)
    max_files: int = Field(default=50_000, ge=1)  # per scan; bounds memory, not the number of images over time
    oldest_every: int = Field(
        default=4, ge=2
    )  # every n-th image is the oldest one that waits, the others are the newest
    retry_first_seconds: float = Field(default=5.0, gt=0)  # doubles with every attempt
    retry_longest_seconds: float = Field(default=900.0, gt=0)
    attempts: int = Field(default=4, ge=1)  # then quarantine; failures of the disk or the device do not count
    min_free_mb: float = Field(default=1024.0, ge=0)  # with less, no image is taken until there is more
    retention: RetentionSettings = RetentionSettings()


class _Listener(_Section):
    """A port that other machines connect to: which of them may, and its TLS."""

    enabled: bool = False
    host: str = "127.0.0.1"
    allowed_addresses: tuple[str, ...] = ("127.0.0.1", "::1")  # addresses or networks, for example 10.1.2.0/24
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_authorities: Path | None = None  # with it, peers must show a certificate signed by these

    @field_validator("allowed_addresses")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(value)
        return value

    @model_validator(mode="after")
    def _check_tls_files(self) -> _Listener:
        _require_pair(self.tls_certificate, self.tls_key)
        if self.tls_authorities is not None and self.tls_certificate is None:
            raise ValueError("tls_authorities needs tls_certificate and tls_key")
        return self


class ListenSettings(_Listener):
    """Receiving images by DICOM. Off by default; when it is on, only the listed addresses may connect."""

    ae_title: str = Field(default="LUNGSEV", min_length=1, max_length=16, pattern=r"^[A-Z0-9_ -]+$")
    port: int = Field(default=11112, ge=0, le=65535)
    inbox: Path | None = None  # None: the watched folder
    allowed_ae_titles: tuple[str, ...] = ()  # empty: any title
    max_associations: int = Field(default=8, ge=1, le=256)
    max_pdu_bytes: int = Field(default=131_072, ge=4096, le=1 << 24)
    max_object_mb: float = Field(default=128.0, gt=0)
    idle_seconds: float = Field(default=60.0, gt=0)  # a peer that sends nothing for this long is disconnected
    association_seconds: float = Field(default=600.0, gt=0)
    storage_commitment: bool = True
    storage_commitment_ports: dict[str, int] = Field(
        default_factory=dict
    )  # AE title: port that its reports go to, on a new association


class Hl7ListenSettings(_Listener):
    """Receiving merges of patients (ADT^A40) by HL7 v2 over MLLP. Off by default."""

    port: int = Field(default=2575, ge=0, le=65535)
    max_connections: int = Field(default=8, ge=1, le=256)
    max_message_kb: float = Field(default=256.0, gt=0)
    idle_seconds: float = Field(default=3600.0, gt=0)  # a sender that is silent for this long is disconnected


class HealthSettings(_Section):
    """/livez, /readyz and /metrics."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class DashboardSettings(_Section):
    """The dashboard that runs with the watcher; `lungsev-run dashboard --help` says more."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    token_file: Path | None = None  # None: a token made on first use, in the output folder
    tls_certificate: Path | None = None  # with tls_key: HTTPS
    tls_key: Path | None = None
    board_hours: float = Field(
        default=48.0, gt=0, le=8760
    )  # after the last image a patient leaves the board; 48 h bridge a day without an image
    public_url: str | None = None  # what browsers are given, where a proxy stands before the dashboard

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            raise ValueError(_PUBLIC_URL_FORM.format(value)) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or port == 0:
            raise ValueError(_PUBLIC_URL_FORM.format(value))
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(
                f"found {value!r}, expected an address without a path: the dashboard needs a host name of its own"
            )
        default_port = ":443" if parts.scheme == "https" else ":80"  # browsers leave it out of Origin
        return f"{parts.scheme}://{parts.netloc.lower().removesuffix(default_port)}"

    @model_validator(mode="after")
    def _check_tls_files(self) -> DashboardSettings:
        _require_pair(self.tls_certificate, self.tls_key)
        return self


class BedsideSettings(_Section):
    """All settings of one bedside computer, in one YAML file."""

    site: SiteSettings = SiteSettings()
    model: ModelSettings = ModelSettings()
    watch: WatchSettings = WatchSettings()
    outputs: tuple[str, ...] = ("json", "overlay", "image", "severity_map")  # the last two are for the dashboard
    destinations: tuple[Destination, ...] = ()  # see delivery/destinations.py
    listen: ListenSettings = ListenSettings()
    hl7_listen: Hl7ListenSettings = Hl7ListenSettings()
    health: HealthSettings = HealthSettings()
    dashboard: DashboardSettings = DashboardSettings()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("outputs")
    @classmethod
    def _put_json_first(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "json" not in value:
            raise ValueError('found no "json", which is the reference form: add it to outputs')
        return ("json", *(name for name in with_rejection_notes(value) if name != "json"))

    @model_validator(mode="after")
    def _check_storage_commitment(self) -> BedsideSettings:
        keeps = self.watch.originals == "archive" and self.watch.retention.archive_days is None
        if self.listen.enabled and self.listen.storage_commitment and not keeps:
            raise ValueError(
                "listen.storage_commitment promises that originals are kept, and X-ray units then delete theirs: set "
                "watch.originals to archive and watch.retention.archive_days to null, or set "
                "listen.storage_commitment to false"
            )
        return self

    @model_validator(mode="after")
    def _check_destinations(self) -> BedsideSettings:
        names = [destination.name for destination in self.destinations]
        if len(set(names)) != len(names):
            raise ValueError(f"found destinations {', '.join(names)}, expected different names")
        for destination in self.destinations:
            missing = set(destination.sends) - set(self.outputs)
            if missing:
                raise ValueError(
                    f"destination {destination.name} sends {sorted(missing)[0]}, which is not among outputs: add it"
                )
        return self
