"""The lock file of the bedside install: `name==version ; marker`, and the hashes of every file that pip may install."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "docs" / "deploy" / "bedside.lock.txt"
TENSORRT_LOCK = LOCK.with_name("tensorrt.lock.txt")


@dataclass(frozen=True)
class Locked:
    """One line of the lock; `hashes` are hex SHA-256."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (clause,) = self.requirement.specifier
        return clause.version

    def applies(self, environment: dict[str, str]) -> bool:
        marker = self.requirement.marker
        return marker is None or marker.evaluate(environment)


def read_lock(path: Path = LOCK) -> Iterator[Locked]:
    """Raises ValueError where a line has no hash."""
    for entry in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if not entry.strip() or entry.startswith("#"):
            continue
        text, *hashes = entry.split(" --hash=sha256:")
        if not hashes:
            raise ValueError(f"{path.name}: {text.strip()} has no hash; write the lock again: make lock")
        yield Locked(Requirement(text.strip()), tuple(each.strip() for each in hashes))
