"""Settings of the bedside: `configs/runtime/bedside.yaml` shows every one of them.

Explicit option > file > default; `lungsev.config.load_model` decides it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lungsev.runtime.delivery.destinations import Destination


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Section):
    """Which model, on what."""

    bundle: Path | None = None  # None: the packaged one
    backend: str = "auto"
    threads: int | None = Field(default=None, ge=1)  # None: all cores


class RetentionSettings(_Section):
    """Days after which what is done may go; None keeps it for ever. Nothing goes by default."""

    archive_days: float | None = Field(default=None, ge=0)
    results_days: float | None = Field(default=None, ge=0)
    quarantine_days: float | None = Field(default=None, ge=0)


class WatchSettings(_Section):
    """Taking images in."""

    incoming: Path | None = None
    out: Path | None = None  # None: lungsev-out beside `incoming`
    leave_in_place: bool = False  # for shares that this box may only read
    originals: Literal["archive", "delete"] = "archive"  # what becomes of a taken image once its result is on disk
    scan_seconds: float | None = Field(default=None, gt=0, le=600)  # None: 1 on local disks, 5 on shares
    settle_seconds: float = Field(default=1.0, ge=0, le=600)  # untouched for so long, and over two scans
    unrecognised_settle_seconds: float = Field(
        default=10.0, ge=0, le=600
    )  # no image yet: perhaps a copy that began with zeros
    incomplete_seconds: float = Field(default=600.0, gt=0)  # BEDSIDE practice: ten minutes, then a person looks
    max_depth: int = Field(default=600, ge=1, le=5000)
    max_files: int = Field(default=50_000, ge=1)  # per scan; bounds memory, not what is taken in over time
    oldest_every: int = Field(default=4, ge=2)  # every n-th image is the oldest that waits, the others the newest
    retry_first_seconds: float = Field(default=5.0, gt=0)  # doubles with every attempt
    retry_longest_seconds: float = Field(default=900.0, gt=0)
    attempts: int = Field(default=4, ge=1)  # then quarantine; only attempts that are the image's own fault count
    min_free_mb: float = Field(default=1024.0, ge=0)  # below it nothing is taken in until there is room again
    retention: RetentionSettings = RetentionSettings()


class ListenSettings(_Section):
    """Receiving images by DICOM. Off until switched on, and then for the machines listed only."""

    enabled: bool = False
    ae_title: str = Field(default="LUNGSEV", min_length=1, max_length=16, pattern=r"^[A-Z0-9_ -]+$")
    host: str = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65535)
    inbox: Path | None = None  # None: the watched folder
    allowed_ae_titles: tuple[str, ...] = ()  # empty: any title
    allowed_addresses: tuple[str, ...] = ("127.0.0.1", "::1")  # addresses or networks, as 10.1.2.0/24
    max_associations: int = Field(default=8, ge=1, le=256)
    max_pdu_bytes: int = Field(default=131_072, ge=4096, le=1 << 24)
    max_object_mb: float = Field(default=128.0, gt=0)
    idle_seconds: float = Field(default=60.0, gt=0)  # a peer that says nothing is hung up on
    association_seconds: float = Field(default=600.0, gt=0)
    storage_commitment: bool = True
    storage_commitment_ports: dict[str, int] = Field(
        default_factory=dict
    )  # AE title: port its answers go to, if not this association
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_authorities: Path | None = None  # with it, peers must show a certificate signed by these

    @field_validator("allowed_addresses")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        import ipaddress

        for item in value:
            ipaddress.ip_network(item, strict=False)
        return value

    @model_validator(mode="after")
    def _tls_is_whole(self) -> ListenSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together")
        if self.tls_authorities is not None and self.tls_certificate is None:
            raise ValueError("tls_authorities needs tls_certificate and tls_key")
        return self


class HealthSettings(_Section):
    """/livez, /readyz and /metrics."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=9464, ge=0, le=65535)


class DashboardSettings(_Section):
    """The dashboard beside the watcher; `lungsev-run dashboard --help` says more."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    token_file: Path | None = None


class BedsideSettings(_Section):
    """One YAML for everything beside the unit."""

    model: ModelSettings = ModelSettings()
    watch: WatchSettings = WatchSettings()
    outputs: tuple[str, ...] = ("json", "overlay", "image", "severity_map")  # the last two are for the dashboard
    destinations: tuple[Destination, ...] = ()  # who is sent what; see destinations.py
    listen: ListenSettings = ListenSettings()
    health: HealthSettings = HealthSettings()
    dashboard: DashboardSettings = DashboardSettings()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("outputs")
    @classmethod
    def _json_comes_first(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "json" not in value:
            raise ValueError('"json" is the reference form and cannot be left out')
        return ("json", *(name for name in value if name != "json"))

    @model_validator(mode="after")
    def _commitment_is_kept(self) -> BedsideSettings:
        keeps = self.watch.originals == "archive" and self.watch.retention.archive_days is None
        if self.listen.enabled and self.listen.storage_commitment and not keeps:
            raise ValueError(
                "listen.storage_commitment promises that originals are kept, and X-ray units then delete theirs: set "
                "watch.originals to archive and watch.retention.archive_days to null, or set "
                "listen.storage_commitment to false"
            )
        return self

    @model_validator(mode="after")
    def _destinations_get_what_is_written(self) -> BedsideSettings:
        names = [destination.name for destination in self.destinations]
        if len(set(names)) != len(names):
            raise ValueError(f"destinations must have different names, found {', '.join(names)}")
        for destination in self.destinations:
            missing = set(destination.sends) - set(self.outputs)
            if missing:
                raise ValueError(f"destination {destination.name} sends {sorted(missing)[0]}, which outputs leaves out")
        return self
