"""Engine cache on disk. It says why it builds, and builds once for all processes.

    <graph>-<library>-<capability>-<precision>.plan   the engine
    ….json                                            its side file: what it was built from, its comparison
    ….lock                                            locked by the process that builds

The side file is checked before anything is deserialised, because a foreign plan can crash the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.build import BUILD_RULES, BuiltEngine
from lungsev.system import lock_file, write_atomically

Notify = Callable[[str], None]


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on; a change of any part means a new build."""

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

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Return e.g. `driver: found 535.1, expected 550.2` for every part that differs from a side file's key."""
        expected = asdict(self)
        return [
            f"{name}: found {other.get(name)!r}, expected {value!r}"
            for name, value in expected.items()
            if other.get(name) != value
        ]


@dataclass(frozen=True)
class CachedEngine:
    """A plan whose side file fits the key.

    Attributes:
        parity: Numbers of the comparison with the FP32 graph; None before it.
        refused: Why the comparison refused it, if it did.
    """

    path: Path
    plan: bytes
    key: EngineKey
    build_seconds: float
    half_layers: int
    layers: int
    parity: dict[str, Any] | None = field(default=None)
    refused: str | None = None


def default_cache_dir() -> Path:
    """Return the folder of engines in `LUNGSEV_CACHE`, or else in the user's cache folder."""
    chosen = os.environ.get("LUNGSEV_CACHE")
    if chosen:
        return Path(chosen) / "engines"
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "lungsev" / "engines"


def obtain_engine(
    key: EngineKey,
    build: Callable[[], BuiltEngine],
    folder: Path | None = None,
    say: Notify = lambda _: None,
    fresh: bool = False,
) -> CachedEngine:
    """Return the engine for a key: from the cache if it fits, otherwise built now, by one process at a time.

    Args:
        key: Of the engine.
        build: Makes the engine.
        folder: Of the cache; None is `default_cache_dir`.
        say: Called with one line on why something is built, and how long it took the last time.
        fresh: Build even if the cache has one.

    Raises:
        BackendError: The build failed, or the cache cannot be written.
    """
    folder = folder if folder is not None else default_cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f"{key.file_stem}.lock", say):
            path = folder / f"{key.file_stem}.plan"
            if not fresh:
                cached, reason = _read(path, key)
                if cached is not None:
                    return cached
                say(f"building an engine for {key.device} ({key.library} {key.library_version}): {reason}")
            else:
                say(f"building an engine for {key.device} ({key.library} {key.library_version}): asked for")
            built = build()
            engine = CachedEngine(path, built.plan, key, built.build_seconds, built.half_layers, built.layers)
            write_atomically(path, built.plan)
            record(engine)
            say(f"engine built in {built.build_seconds:.1f} s, {len(built.plan) / 1e6:.1f} MB")
            return engine
    except OSError as error:
        raise BackendError(
            f"the engine cache {folder} cannot be used: {error.strerror or error}; "
            "set LUNGSEV_CACHE to a folder that can"
        ) from None


def record(engine: CachedEngine) -> None:
    """Write the side file: after the build, and again after the comparison."""
    document = {
        "key": asdict(engine.key),
        "plan_sha256": hashlib.sha256(engine.plan).hexdigest(),
        "built_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "build_seconds": engine.build_seconds,
        "half_layers": engine.half_layers,
        "layers": engine.layers,
        "parity": engine.parity,
        "refused": engine.refused,
    }
    write_atomically(_side_file(engine.path), json.dumps(document, indent=2) + "\n")


def with_verdict(engine: CachedEngine, parity: dict[str, Any] | None, refused: str | None) -> CachedEngine:
    """Record the result of the comparison with the engine, so that it runs once per engine and not once per start."""
    judged = replace(engine, parity=parity, refused=refused)
    record(judged)
    return judged


def _read(path: Path, key: EngineKey) -> tuple[CachedEngine | None, str]:
    """Return a usable engine, or None and the reason."""
    side_file = _side_file(path)
    if not path.is_file() or not side_file.is_file():
        return None, "none is cached yet; this takes seconds on a workstation and minutes on a Jetson"
    try:
        side = json.loads(side_file.read_text(encoding="utf-8"))
        differences = key.differences(side["key"])
        last = f"; the last build took {float(side['build_seconds']):.0f} s"
        if differences:
            return None, f"the cached one was built differently ({'; '.join(differences)}){last}"
        plan = path.read_bytes()
        if hashlib.sha256(plan).hexdigest() != side["plan_sha256"]:
            return None, f"the cached one is damaged (its checksum differs){last}"
        engine = CachedEngine(
            path,
            plan,
            key,
            float(side["build_seconds"]),
            int(side["half_layers"]),
            int(side["layers"]),
            side["parity"],
            side["refused"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, "the side file of the cached one is damaged"
    return engine, ""


def _side_file(path: Path) -> Path:
    return path.with_suffix(".json")


@contextmanager
def _locked(path: Path, say: Notify) -> Iterator[None]:
    """Hold a lock file, which the kernel unlocks however this process ends."""
    with path.open("w") as stream:
        if not lock_file(stream):
            say("another process builds this engine; waiting for it")
            lock_file(stream, wait=True)
        yield
