"""What is kept of a model run: predictions before calibration, splits, settings and metrics, in one small file.

With it calibration can be repeated, by other settings too, without an image or a network.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lungsev.errors import ConfigError, LungsevError
from lungsev.system import atomic_file
from lungsev.train.console import say
from lungsev.train.evaluation.calibration import CalibrationSettings, FittedCalibration
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.summary import headline, summarise
from lungsev.train.runs import Run, finished_run
from lungsev.train.tasks.joint.measure import SHOWN, calibrated, calibrated_folds, plain_path

LIMIT_BYTES = 20 * 10**6
KEPT = ("config.yaml", "metrics.json", "history.jsonl", "splits.json", "predictions-*.json", "uncalibrated/*.json")
TOLERANCE = 1e-4  # of a temperature: predictions are stored with six decimals


def write_artefact(run: Path, out: Path) -> Path:
    """Write what is kept of a finished run and of the runs inside it.

    Raises:
        ConfigError: The run is not finished.
        LungsevError: It would be larger than 20 MB.
    """
    finished_run(run)
    files = sorted({path for pattern in KEPT for path in run.rglob(pattern)})
    with atomic_file(out) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files:
            archive.write(path, path.relative_to(run).as_posix())
        archive.close()
        size = stream.tell()
        if size > LIMIT_BYTES:
            raise LungsevError(
                f"what is kept of {run} takes {size / 1e6:.1f} MB, expected at most {LIMIT_BYTES // 10**6}; measure "
                "fewer images"
            )
    say(f"{out}: {len(files)} files, {size / 1e6:.1f} MB, with the images' and patients' names of the datasets")
    return out


def repeat_calibration(source: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Calibrate every scheme of a run or of its artefact again, and measure what is shown by what was not fitted on it.

    Args:
        source: Run folder, or the file that `write_artefact` made.
        changes: Settings of calibration other than those of the run; none repeats the run's own.

    Returns:
        Per scheme `calibration`, `temperature`, `results`; and `as_stated`: whether the run states the same
        temperature, None where settings were changed.

    Raises:
        ConfigError: It holds no predictions before calibration.
    """
    with _folder_of(source) as folder:
        metrics = _read(folder / "metrics.json")
        own = Run(folder).settings()
        chosen = CalibrationSettings.model_validate({**own.get("calibration", {}), **changes})
        first_readers = {name: s.get("first_reader") for s in own.get("sources", []) for name in s.get("schemes", [])}
        found: dict[str, Any] = {}
        for name, stated in metrics.get("schemes", {}).items():
            first_reader = stated.get("first_reader", first_readers.get(name))
            fitted, fitted_on, shown = _again(folder, name, first_reader, metrics, chosen)
            results = {part: summarise(predictions, part) for part, predictions in shown.items()}
            for part, predictions in shown.items():
                say(f"{name}, temperature {fitted.temperature:.3f}, {headline(predictions, part, (*SHOWN, 'ece'))}")
            before = metrics.get("temperature", {}).get(name, 1.0)
            found[name] = {
                "calibration": fitted.stated.model_dump(mode="json"),
                "calibration_fitted_on": fitted_on,
                "temperature": fitted.temperature,
                "as_stated": None if changes else abs(fitted.temperature - before) <= TOLERANCE,
                "results": results,
            }
    if not found:
        raise ConfigError(
            f"{source} holds no predictions from before its calibration; expected a run of `lungsev-train joint` or "
            "`lungsev-train model`, or its artefact"
        )
    return found


def _again(
    folder: Path, name: str, first_reader: float | None, metrics: dict[str, Any], settings: CalibrationSettings
) -> tuple[FittedCalibration, str, dict[str, Predictions]]:
    own = folder / "all" if metrics.get("folds") else folder
    if not plain_path(own, "test", name).is_file() and metrics.get("folds"):  # what ships learned from all of them
        parts = [Predictions.load(plain_path(folder / fold, "test", name)) for fold in metrics["folds"]]
        return calibrated_folds(parts, settings, first_reader)
    found = {part: Predictions.load(plain_path(own, part, name)) for part in metrics["schemes"][name]["results"]}
    return calibrated(found, settings, first_reader)


@contextmanager
def _folder_of(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield source
        return
    if not zipfile.is_zipfile(source):
        raise ConfigError(f"{source} is neither the folder of a run nor the file of `lungsev-train artefact`")
    with TemporaryDirectory() as folder, zipfile.ZipFile(source) as archive:
        archive.extractall(folder)
        yield Path(folder)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise ConfigError(f"{path.name} is missing or damaged, expected that of a finished run") from None
