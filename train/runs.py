"""Run folders: `runs/<command>/<timestamp>/`, from the first epoch to the metrics.

config.yaml     resolved settings, and by what, where and when they were made
splits.json     who trained, with its hash
history.jsonl   one line of numbers per epoch
checkpoints/    last.ckpt (every epoch), best.ckpt; gone when the run is finished
network.pt      the result; its presence with metrics.json makes the run finished
metrics.json
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lungsev.config import read_yaml
from lungsev.errors import ConfigError, FolderLockedError, LungsevError
from lungsev.system import lock_file, write_atomically
from lungsev.train.console import is_main_process, say
from lungsev.train.provenance import describe_start, note_continuation, write_config
from lungsev.train.settings import Settings

AnySettings = TypeVar("AnySettings", bound=Settings)

DEFAULT_ROOT = Path("runs")
NOT_DECISIVE = ("cache", "workers", "threads", "keep_checkpoints", "trials")  # settings that change nothing in a result
_held: dict[Path, int] = {}  # lock files of this process's runs, open until it ends


@dataclass(frozen=True)
class Run:
    """A run folder."""

    path: Path

    @property
    def checkpoints(self) -> Path:
        """Return the folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """Return the checkpoint of the last epoch."""
        return self.checkpoints / "last.ckpt"

    @property
    def network(self) -> Path:
        """Return the file of the result."""
        return self.path / "network.pt"

    @property
    def splits(self) -> Path:
        """Return the file of the split."""
        return self.path / "splits.json"

    @property
    def is_finished(self) -> bool:
        """Tell whether result and metrics are there."""
        return self.network.is_file() and (self.path / "metrics.json").is_file()

    @property
    def has_begun(self) -> bool:
        """Tell whether there is work to lose, in the run or in one inside it: an epoch, a network, a result."""
        names = ("history.jsonl", "*.ckpt", "network.pt", "metrics.json")
        return any(next(self.path.rglob(name), None) is not None for name in names)

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints of a finished run and of the runs inside it, unless `loop.keep_checkpoints`."""
        for folder in list(self.path.rglob("checkpoints")):
            run = Run(folder.parent)
            if not (run.path / "config.yaml").is_file() or run.settings().get("loop", {}).get("keep_checkpoints"):
                continue
            for path in folder.glob("*.ckpt"):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()

    def settings(self) -> dict[str, Any]:
        """Resolved settings. Raises ConfigError when the folder holds none."""
        return dict(read_yaml(self.path / "config.yaml", own=True).get("settings", {}))

    def metrics(self) -> dict[str, Any]:
        """metrics.json. Raises LungsevError when the run is not finished."""
        try:
            return dict(json.loads((self.path / "metrics.json").read_text(encoding="utf-8")))
        except OSError:
            raise LungsevError(f"{self.path} has no metrics.json: the run is not finished; start it again") from None

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Write metrics.json."""
        write_json(self.path / "metrics.json", metrics)

    def history(self) -> list[dict[str, float]]:
        """Numbers of each epoch; of an epoch that was run twice after a kill, the second time."""
        path = self.path / "history.jsonl"
        if not path.is_file():
            return []
        by_epoch: dict[float, dict[str, float]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the line a kill cut short
            by_epoch[record["epoch"]] = record
        return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def open_run(
    command: str, settings: Settings, out: Path | None = None, resume: Path | None = None, fresh: bool = False
) -> Run:
    """Return the folder to train in: a new one, or an unfinished one of the same settings, which is continued.

    Args:
        command: The command's name.
        settings: Resolved.
        out: The run folder itself; None makes one under `runs/<command>/`.
        resume: Continue exactly this run.
        fresh: Never continue an unfinished run.

    Raises:
        ConfigError: The folder holds a finished run or one of other settings, or several processes
            were started without a folder they can agree on.
        FolderLockedError: Another process trains in the folder.
    """
    if resume is not None:
        run = _existing(resume, settings)
        _lock_or_raise(run)
        return _continued(run, settings)
    if out is None and "RANK" in os.environ:
        raise ConfigError("several processes need one run folder they can agree on: give --out DIR with torchrun")
    if out is not None and not is_main_process():
        return Run(out)  # as the main process leaves it
    known = [Run(out)] if out is not None else list(reversed(list_runs(command)))
    usable = (
        run
        for run in known
        if (run.path / "config.yaml").is_file() and _is_usable(run, settings, fresh, named=out is not None)
    )
    found = next(usable, None)
    if found is not None and found.has_begun:
        return _continued(found, settings)
    run = found or Run(out if out is not None else _new_folder(command))
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    _lock_or_raise(run)
    run.splits.unlink(missing_ok=True)  # of a start that failed: its images may have been others
    document = settings.model_dump(mode="json")
    made_by = describe_start(run.path, _accelerator(document))
    write_config(run.path, {"command": command, "settings": document, "made_by": made_by})
    return run


def _continued(run: Run, settings: Settings) -> Run:
    say(f"Continuing the unfinished run {run.path} (--fresh starts a new one)")
    if is_main_process():
        note_continuation(run.path, _accelerator(settings.model_dump(mode="json")))
    return run


def _accelerator(settings: dict[str, Any]) -> str:
    return str(settings.get("loop", {}).get("accelerator", "auto"))


def _is_usable(run: Run, settings: Settings, fresh: bool, named: bool) -> bool:
    """Tell whether an existing run is the one to continue, or never began. One that was named and is not raises.

    A start that failed before its first epoch leaves nothing to lose: its folder is used whatever its settings were.
    """
    if run.is_finished:
        run.remove_checkpoints()  # which a kill after the last step may have left
        reason = "a finished run; give another --out, or evaluate it"
    elif named and not run.has_begun:
        _lock_or_raise(run)
        return True
    elif not made_with(run, settings):
        reason = "an unfinished run of other settings; give another --out"
    elif fresh:
        reason = "an unfinished run; give another --out, or leave --fresh out to continue it"
    elif named:
        _lock_or_raise(run)
        return True
    elif not _lock(run):
        say(f"{run.path} is being trained by another process; this is a new run")
        return False
    else:
        return True
    if named:
        raise ConfigError(f"{run.path} holds {reason}")
    return False


def settings_of(path: Path, model: type[AnySettings]) -> AnySettings:
    """The resolved settings of a run folder.

    Raises:
        ConfigError: It is none, or was started by another command or release.
    """
    document = read_yaml(path / "config.yaml", own=True)
    try:
        return model.model_validate(document.get("settings", {}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        command = document.get("command", "unknown")
        raise ConfigError(
            f"{path} was started by `lungsev-train {command}` with other settings than this command has ({key}); "
            "resume it with its own command"
        ) from None


def list_runs(command: str, root: Path = DEFAULT_ROOT) -> list[Run]:
    """Runs of a command, oldest first by name."""
    folder = root / command
    if not folder.is_dir():
        return []
    return [Run(path) for path in sorted(folder.iterdir()) if (path / "config.yaml").is_file()]


def newest_finished(commands: tuple[str, ...], root: Path = DEFAULT_ROOT) -> Run | None:
    """The finished run with the newest network of some commands; None when there is none."""
    finished = [run for command in commands for run in list_runs(command, root) if run.is_finished]
    return max(finished, key=lambda run: run.network.stat().st_mtime, default=None)


def finished_like(command: str, settings: Settings, root: Path = DEFAULT_ROOT) -> Run | None:
    """The newest finished run of a command with just these settings; None when there is none."""
    return next((r for r in reversed(list_runs(command, root)) if r.is_finished and made_with(r, settings)), None)


def made_with(run: Run, settings: Settings) -> bool:
    """Whether a run was started with what decides these settings' result; a key it does not know has its default."""
    try:
        return fingerprint(type(settings).model_validate(run.settings())) == fingerprint(settings)
    except ValidationError:
        return False


def finished_run(path: Path) -> Run:
    """A run folder by path.

    Raises:
        ConfigError: It is none, or not finished.
    """
    run = Run(path)
    if not (path / "config.yaml").is_file():
        state = "holds no config.yaml" if path.is_dir() else "does not exist"
        raise ConfigError(f"{path} {state}, expected a run folder, e.g. runs/brixia/<timestamp>")
    below = run.metrics() if (path / "metrics.json").is_file() else {}
    networks = [str(path / name) for name in below.get("networks", [])]
    if networks:
        raise ConfigError(f"{path} is an ensemble, which has no network of its own; give {' '.join(networks)}")
    if not run.network.is_file():
        raise ConfigError(f"{path} has no network.pt: the run is not finished; start it again with --resume {path}")
    return run


def fingerprint(settings: Settings) -> str:
    """Return the hash of what decides the result, which cache, workers and threads do not."""
    return _hash(settings.model_dump(mode="json"))


def _hash(settings: dict[str, Any]) -> str:
    def decisive(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("out_indices") == [3, 4] and value.get("stride") == 16:
                value = {**value, "out_indices": None}  # what None stands for was the default, and is in old runs
            return {key: decisive(item) for key, item in value.items() if key not in NOT_DECISIVE}
        return value

    return hashlib.sha256(json.dumps(decisive(settings), sort_keys=True).encode()).hexdigest()


def _existing(path: Path, settings: Settings) -> Run:
    run = Run(path)
    if not (path / "config.yaml").is_file():
        raise ConfigError(f"{path} is no run folder: it has no config.yaml")
    if run.is_finished:
        raise ConfigError(f"{path} is finished, there is nothing to resume; evaluate it, or start a new run")
    if not made_with(run, settings):
        raise ConfigError(f"{path} was started with other settings; leave them out with --resume")
    return run


def _lock_or_raise(run: Run) -> None:
    if not _lock(run):
        raise FolderLockedError(f"another lungsev-train trains in {run.path}; wait for it, or give another --out")


def _lock(run: Run) -> bool:
    """Hold a run folder until this process ends, however it ends; False when another process holds it."""
    path = (run.path / "lock").resolve()
    if path in _held or not is_main_process():
        return True
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with contextlib.suppress(OSError):  # on a share without locks training continues without one
        if not lock_file(descriptor):
            os.close(descriptor)
            return False
    _held[path] = descriptor
    return True


def _new_folder(command: str) -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = DEFAULT_ROOT / command / stamp
    count = 1
    while folder.exists():
        count += 1
        folder = DEFAULT_ROOT / command / f"{stamp}-{count}"
    return folder


def write_json(path: Path, data: Any) -> None:
    """Replace a JSON file, ASCII so that it can hold a file name that is not UTF-8; a kill leaves the old one.

    Raises:
        ValueError: The data hold NaN, which JSON does not have.
    """
    write_atomically(path, json.dumps(data, indent=1, ensure_ascii=True, allow_nan=False) + "\n")
