"""Small images and a quick scorer for tests of the bedside: everything around the network is the real thing."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lungsev.errors import ImageError, UnreadableImageError
from lungsev.inference.status import BackendStatus
from lungsev.model import ImageSource, Model
from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.pipeline import ScoredRadiograph, StageClock
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo, ModelInfo, RegionScore, SchemeScore, SeverityReport
from lungsev.runtime.settings import BedsideSettings, WatchSettings
from lungsev.runtime.watcher.layout import Layout

STATUS = BackendStatus("onnxruntime", "cpu", "fp32", reason="it is a test")
MODEL = ModelInfo("tiny", "1", "0" * 64, "onnxruntime", "cpu", "fp32")
QUICK = WatchSettings(
    scan_seconds=0.05,
    settle_seconds=0.0,
    unrecognised_settle_seconds=0.0,
    retry_first_seconds=0.01,
    retry_longest_seconds=0.05,
    min_free_mb=0,
)
QUICK_BEDSIDE = BedsideSettings(watch=QUICK, outputs=("json",))


def png(value: int, side: int = 8) -> bytes:
    """A complete small grey PNG, different for every value."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + struct.pack(">H", value % 65536) * side
    header = struct.pack(">IIBBBBB", side, side, 16, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * side)) + chunk(b"IEND", b"")
    )


def drop(folder: Path, name: str, data: bytes) -> Path:
    """Put a file into a folder in one go."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.part")
    unfinished.write_bytes(data)
    os.replace(unfinished, target)
    return target


@dataclass
class QuickModel(Model):
    """Reads PNGs made here in no time. `failures`, `uids`, `patients` and `acquired` go by an image's bytes."""

    failures: dict[bytes, Callable[[], ImageError]] = field(default_factory=dict)
    uids: dict[bytes, str] = field(default_factory=dict)
    patients: dict[bytes, PatientInfo] = field(default_factory=dict)
    acquired: dict[bytes, Moment] = field(default_factory=dict)
    score_error: Callable[[Radiograph], Exception | None] = lambda radiograph: None
    seen: list[Path] = field(default_factory=list)
    closed: bool = False
    info: ModelInfo = MODEL
    status: BackendStatus = STATUS
    grade: int = 1

    def read(self, image: ImageSource) -> Radiograph:
        assert isinstance(image, Path | bytes)
        if isinstance(image, Path):
            self.seen.append(image)
        data = image.read_bytes() if isinstance(image, Path) else image
        if data in self.failures:
            raise self.failures[data]()
        if not data.startswith(b"\x89PNG"):
            raise UnreadableImageError("unknown_format", "The file is neither DICOM nor a picture.")
        digest = hashlib.sha256(data).hexdigest()
        info = ImageInfo(
            sop_instance_uid=self.uids.get(data),
            rows=8,
            columns=8,
            sha256=digest,
            pixel_sha256=digest,
            patient_id="P1",
            patient=self.patients.get(data, PatientInfo(id="P1")),
            acquired=self.acquired.get(data),
        )  # fmt: skip
        return Radiograph(Brightness(np.zeros((8, 8), np.float32)), info, (0, 0, 8, 8))

    def score_radiograph(self, radiograph: Radiograph, clock: StageClock | None = None) -> ScoredRadiograph:
        error = self.score_error(radiograph)
        if error is not None:
            raise error
        region = RegionScore(
            "A",
            "right upper zone",
            "right",
            self.grade,
            1.0,
            (0.0, 1.0, 0.0, 0.0),
            (1, 1),
            ((0, 0), (1, 0), (1, 1), (0, 1)),
        )
        scores = {"brixia": SchemeScore((region,), self.grade, 1.0, (0, 2), 0.8, 3)}
        report = SeverityReport(
            "scored", radiograph.image, self.info, scores=scores, alignment=((1, 0, 0), (0, 1, 0)),
            patient=radiograph.image.patient, acquired=radiograph.image.acquired,
        )  # fmt: skip
        return ScoredRadiograph(report=report, radiograph=radiograph)

    def probe(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Bedside:
    """A watched folder and what the watcher keeps, for assertions."""

    incoming: Path
    layout: Layout

    @classmethod
    def make(cls, root: Path) -> Bedside:
        incoming = root / "incoming"
        incoming.mkdir()
        layout = Layout(root / "out")
        layout.create_folders(("reports", "overlays"))
        return cls(incoming, layout)

    def reports(self) -> dict[str, SeverityReport]:
        return {p.stem: SeverityReport.from_json(p.read_text()) for p in self.layout.reports.glob("*.json")}

    def reasons(self) -> list[str]:
        return sorted(path.name.removesuffix(".reason.json") for path in self.layout.quarantine.glob("*.reason.json"))

    def leftovers(self) -> list[Path]:
        """Files that must not be left behind: incomplete ones, and images in work/."""
        unfinished = [path for path in self.layout.root.rglob("*") if path.name.endswith((".part", ".tmp"))]
        return unfinished + [path for path in self.layout.work.iterdir() if path.is_file()]


__all__ = ["MODEL", "QUICK", "QUICK_BEDSIDE", "Bedside", "QuickModel", "drop", "png"]
