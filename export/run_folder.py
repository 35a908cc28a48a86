"""Metrics, calibration and provenance that a bundle takes from a run folder of `lungsev-train`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungsev.bundle.card_text import DATA_SOURCES
from lungsev.bundle.manifest import without_paths
from lungsev.config import read_yaml
from lungsev.errors import ConfigError

DEFAULT_ROOT = Path("runs")
SEVERITY_COMMANDS = ("brixia", "inha", "custom", "joint")


@dataclass(frozen=True)
class RunFolder:
    """A finished severity run.

    Attributes:
        path: Folder of the run.
        config: Resolved settings, without paths of the machine that trained.
        made_by: Commit, start time and command of the run.
        metrics: metrics.json without calibration and data.
        calibration: Scheme name to the fields of `lungsev.grading.Calibration`.
        split_sha256: Hash of the split; None if the run has no split.
        data: Descriptions of the data sources.
    """

    path: Path
    config: dict[str, Any]
    made_by: dict[str, str]
    metrics: dict[str, Any]
    calibration: dict[str, Any]
    split_sha256: str | None
    data: tuple[str, ...] = ()

    @property
    def stamp(self) -> str:
        """Start of the run, for example `20261123-041500`; the folder's name if the run does not state it."""
        digits = "".join(character for character in self.made_by.get("started_at", "") if character.isdigit())
        return f"{digits[:8]}-{digits[8:14]}" if len(digits) >= 14 else self.path.name.replace(" ", "-")

    @property
    def name(self) -> str:
        """Command and folder, for example `brixia/20261123-031500`: names the run without its path."""
        return f"{self.path.parent.name}/{self.path.name}"


def newest_run(root: Path = DEFAULT_ROOT) -> Path:
    """Return the severity run with the newest finished network.

    Raises:
        ConfigError: There is no finished run below `root`.
    """
    networks = [
        path
        for command in SEVERITY_COMMANDS
        for path in (*(root / command).glob("*/network.pt"), *(root / "model").glob(f"*/{command}/network.pt"))
        if (path.parent / "metrics.json").is_file()
    ]
    if not networks:
        raise ConfigError(
            f"found no finished severity run under {root}/; train one with lungsev-train brixia, or give a run folder"
        )
    return max(networks, key=lambda path: path.stat().st_mtime).parent


def read_run(path: Path) -> RunFolder:
    """Read a finished run.

    Raises:
        ConfigError: The folder is not one of a finished run.
    """
    if not (path / "network.pt").is_file():
        raise ConfigError(
            f"{path} has no network.pt; expected the folder of a finished run, for example runs/brixia/<timestamp>"
        )
    document = read_yaml(path / "config.yaml", own=True)
    metrics = _read_json(path / "metrics.json")
    calibration = metrics.pop("calibration", {})
    data = metrics.pop("data", ())
    return RunFolder(
        path=path.resolve(),
        config=without_paths(document.get("settings", {})),
        made_by={key: str(value) for key, value in without_paths(document.get("made_by", {})).items()},
        metrics=without_paths(metrics),
        calibration=calibration,
        split_sha256=_split_hash(path / "splits.json"),
        data=tuple(DATA_SOURCES.get(str(item), str(item)) for item in ([data] if isinstance(data, str) else data)),
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(
            f"{path} is missing, so the run is not finished; continue it, or export another run"
        ) from None
    except ValueError:
        raise ConfigError(f"{path} is not valid JSON; evaluate the run again") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds {type(data).__name__}, expected a mapping; evaluate the run again")
    return data


def _split_hash(path: Path) -> str | None:
    """Return the hash that the split states, or else that of its file."""
    if not path.is_file():
        return None
    stated = _read_json(path).get("sha256")
    return stated if isinstance(stated, str) else hashlib.sha256(path.read_bytes()).hexdigest()
