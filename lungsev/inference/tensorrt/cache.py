"""Engine cache on disk. It says why it builds, and builds once for all processes.

    <graph>-<library>-<capability>-<precision>.plan   the engine
    ….json                                            its side file: what it was built from, its comparison
    ….lock                                            locked by the process that builds and compares
    ….attempts.json                                   attempts that did not end well
    ….kernels                                         what TensorRT-RTX compiled of it on this device
    <library>-<version>-<capability>.timing           what the builder measured of its kernels

Reading needs no lock, so that a cache may be read-only. The side file is checked before anything is deserialised,
because a foreign plan can crash the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.attempts import Attempts
from lungsev.inference.tensorrt.build import BUILD_RULES, BuiltEngine
from lungsev.system import UNFINISHED_SUFFIX, lock_file, write_atomically

Notify = Callable[[str], None]

ANY = "any"

_LONG_UNFINISHED_SECONDS = 3600.0


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on.

    A side file may hold `ANY` for device and driver: that engine was built ahead of time for every device of its
    compute capability. Workspace and level are the operator's; where none is asked for, an engine of any serves.
    """

    graph_sha256: str
    library: str
    library_version: str
    device: str
    compute_capability: str
    driver: str
    precision: str
    workspace_mib: int | None
    optimisation_level: int | None
    build_rules: int = BUILD_RULES

    @property
    def file_stem(self) -> str:
        """Name of the cache's files without suffix."""
        words = (self.graph_sha256[:16], self.library, f"sm{self.compute_capability}", self.precision)
        return "-".join(re.sub(r"[^A-Za-z0-9_]", "", word) for word in words)

    @property
    def place(self) -> str:
        """Device and driver, in words."""
        return f"{self.device}, driver {self.driver}"

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Return e.g. `driver: found 535.1, expected 550.2` for every part of a side file's key that does not fit."""
        return [
            f"{name}: found {other.get(name)!r}, expected {value!r}"
            for name, value in asdict(self).items()
            if other.get(name) != value and not _fits_any(name, value, other.get(name))
        ]


def _fits_any(name: str, expected: Any, found: Any) -> bool:
    if name in ("workspace_mib", "optimisation_level"):
        return expected is None
    return name in ("device", "driver") and found == ANY


@dataclass(frozen=True)
class CachedEngine:
    """A plan whose side file fits the key.

    Attributes:
        half_layers: Convolutions and matrix products in half precision, of `layers` in all: as the inspector counts
            them in the loaded engine, or as the parsed network has them before it was loaded.
        parity: Numbers of the comparison with the FP32 graph; None before it.
        refused: Why the comparison refused it, if it did.
        compared_on: Device and driver of the comparison; one on another device says nothing here.
    """

    path: Path
    plan: bytes
    key: EngineKey
    build_seconds: float
    half_layers: int
    layers: int
    parity: dict[str, Any] | None = field(default=None)
    refused: str | None = None
    compared_on: str | None = None

    @property
    def plan_sha256(self) -> str:
        """Hash of the plan, hex."""
        return hashlib.sha256(self.plan).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return what is said of it, for JSON."""
        return {
            "engine": str(self.path),
            "device": self.key.device,
            "precision": self.key.precision,
            "bytes": len(self.plan),
            "plan_sha256": self.plan_sha256,
            "build_seconds": self.build_seconds,
            "half_layers": self.half_layers,
            "layers": self.layers,
            "parity": self.parity,
        }


def default_cache_dir() -> Path:
    """Return the folder of engines in `LUNGSEV_CACHE`, or else in the user's cache folder."""
    chosen = os.environ.get("LUNGSEV_CACHE")
    if chosen:
        return Path(chosen) / "engines"
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "lungsev" / "engines"


@contextmanager
def locked_engine(key: EngineKey, folder: Path, say: Notify) -> Iterator[Path]:
    """Keep other processes from building and comparing an engine; gives the path of its plan.

    Args:
        key: Of the engine.
        folder: Of the cache; it is made if need be.
        say: Called when another process is waited for.

    Raises:
        BackendError: The cache cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{key.file_stem}.lock", say):
            _remove_unfinished(folder)
            yield plan_path(key, folder)
    except OSError as error:
        raise BackendError(
            f"the engine cache {folder} cannot be written: {error.strerror or error}; build the engine with "
            "lungsev-run engine as a user who may, or choose another folder with LUNGSEV_CACHE or model.engine.cache"
        ) from None


def read_engine(key: EngineKey, folder: Path) -> tuple[CachedEngine | None, str]:
    """Read the engine for a key, without a lock: what does not hang together is not used, and read again later.

    Returns:
        The engine, or None and why there is none that can be used.
    """
    path = plan_path(key, folder)
    side_file = _side_file(path)
    try:
        if not path.is_file() or not side_file.is_file():
            return None, "none is cached yet; it takes seconds on a workstation and minutes on a Jetson"
        side = json.loads(side_file.read_text(encoding="utf-8"))
        differences = key.differences(side["key"])
        last = f"; the last build took {float(side['build_seconds']):.0f} s"
        if differences:
            return None, f"the cached one was built differently ({'; '.join(differences)}){last}"
        plan = path.read_bytes()
        if hashlib.sha256(plan).hexdigest() != side["plan_sha256"]:
            return None, f"the cached one is damaged (its checksum differs){last}"
        is_judged = side["key"]["device"] != ANY or side.get("compared_on") == key.place
        engine = CachedEngine(
            path,
            plan,
            EngineKey(**{name: side["key"][name] for name in asdict(key)}),
            float(side["build_seconds"]),
            int(side["half_layers"]),
            int(side["layers"]),
            side["parity"] if is_judged else None,
            side["refused"] if is_judged else None,
            side.get("compared_on"),
        )
    except PermissionError as error:
        return None, f"the cached one cannot be read ({error.strerror})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, "the side file of the cached one is damaged"
    return engine, ""


def store_engine(key: EngineKey, built: BuiltEngine, folder: Path) -> CachedEngine:
    """Write an engine and its side file. A power cut between the two leaves a plan whose checksum does not fit.

    Raises:
        OSError: The cache cannot be written.
    """
    engine = CachedEngine(plan_path(key, folder), built.plan, key, built.build_seconds, built.half_layers, built.layers)
    engine.path.with_suffix(".kernels").unlink(missing_ok=True)  # compiled for the plan that is replaced
    write_atomically(engine.path, built.plan)
    record(engine)
    if built.timing_cache:
        write_atomically(_timing_file(key, folder), built.timing_cache)
    return engine


def read_timings(key: EngineKey, folder: Path) -> bytes:
    """Return what earlier builds measured of their kernels with this library on this device; empty if nothing."""
    try:
        return _timing_file(key, folder).read_bytes()
    except OSError:
        return b""


def attempts_at(key: EngineKey, folder: Path, capability: str | None) -> Attempts:
    """Return the attempts that did not end well at an engine, for this card or for all of a capability."""
    return Attempts(folder / f"{key.file_stem}.attempts.json", {**asdict(key), "for_capability": capability})


def record(engine: CachedEngine) -> None:
    """Write the side file: after the build, and again after the comparison.

    Raises:
        OSError: The cache cannot be written.
    """
    document = {
        "key": asdict(engine.key),
        "plan_sha256": engine.plan_sha256,
        "built_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "build_seconds": engine.build_seconds,
        "half_layers": engine.half_layers,
        "layers": engine.layers,
        "parity": engine.parity,
        "refused": engine.refused,
        "compared_on": engine.compared_on,
    }
    write_atomically(_side_file(engine.path), json.dumps(document, indent=2) + "\n")


def plan_path(key: EngineKey, folder: Path) -> Path:
    """Return where the plan of an engine is."""
    return folder / f"{key.file_stem}.plan"


def _timing_file(key: EngineKey, folder: Path) -> Path:
    words = (key.library, key.library_version, f"sm{key.compute_capability}")
    return folder / f"{'-'.join(re.sub(r'[^A-Za-z0-9_.]', '', word) for word in words)}.timing"


def _side_file(path: Path) -> Path:
    return path.with_suffix(".json")


def _remove_unfinished(folder: Path) -> None:
    """Remove what a power cut left of plans that were being written; they weigh tens of megabytes."""
    for path in folder.glob(f".*{UNFINISHED_SUFFIX}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _LONG_UNFINISHED_SECONDS:
                path.unlink()


@contextmanager
def _locked(path: Path, say: Notify) -> Iterator[None]:
    """Hold a lock file, which the kernel unlocks however this process ends."""
    with path.open("w") as stream:
        if not lock_file(stream):
            say("another process builds this engine; waiting for it")
            lock_file(stream, wait=True)
        yield
