"""A run folder is continued by the same settings, held by one process, and read back after a kill."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.errors import ConfigError
from lungsev.train.runs import Run, fingerprint, finished_run, list_runs, newest_finished, open_run
from lungsev.train.settings import DataSettings
from lungsev.train.tasks.severity import SeverityRunSettings


def test_two_processes_do_not_train_in_one_folder(
    severity_settings: Callable[..., SeverityRunSettings], tmp_path: Path
) -> None:
    settings = severity_settings()
    run = open_run("brixia", settings, out=tmp_path / "run")
    script = (
        "import sys; from pathlib import Path; from lungsev.train.runs import open_run, settings_of; "
        "from lungsev.train.tasks.severity import SeverityRunSettings; from lungsev.errors import FolderLockedError\n"
        "path = Path(sys.argv[1]); settings = settings_of(path, SeverityRunSettings)\n"
        "try: open_run('brixia', settings, out=path)\n"
        "except FolderLockedError as error: sys.exit(error.exit_code)"
    )
    command = [sys.executable, "-c", script, str(run.path)]
    assert subprocess.run(command, check=False, cwd=tmp_path).returncode == 3


def test_a_killed_run_is_found_among_later_ones(severity_settings: Callable[..., SeverityRunSettings]) -> None:
    settings = severity_settings()
    first = open_run("brixia", settings)
    other = open_run("brixia", severity_settings({"loop.seed": 3}))
    assert other.path != first.path
    assert open_run("brixia", settings).path == first.path


def test_the_history_keeps_the_second_time_of_an_epoch_and_skips_a_line_cut_short(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(
        '{"epoch": 1, "train/loss": 5}\n{"epoch": 0, "train/loss": 9}\n'
        '{"epoch": 1, "tra\n{"epoch": 1, "train/loss": 4}\n'
    )
    assert [record["train/loss"] for record in Run(tmp_path).history()] == [9, 4]


def test_cache_and_workers_do_not_decide_a_result() -> None:
    assert fingerprint(DataSettings(workers=3, cache=Path("x"))) == fingerprint(DataSettings())
    assert fingerprint(DataSettings(skip_unreadable=True)) != fingerprint(DataSettings())


def test_a_folder_of_other_settings_or_a_finished_run_is_not_overwritten(tmp_path: Path) -> None:
    run = open_run("segment", DataSettings(), out=tmp_path / "run")
    with pytest.raises(ConfigError, match="an unfinished run of other settings"):
        open_run("segment", DataSettings(skip_unreadable=True), out=run.path)
    with pytest.raises(ConfigError, match="is not finished; start it again with --resume"):
        finished_run(run.path)
    run.network.touch()
    run.write_metrics({})
    with pytest.raises(ConfigError, match="a finished run"):
        open_run("segment", DataSettings(), out=run.path)
    with pytest.raises(ConfigError, match="there is nothing to resume"):
        open_run("segment", DataSettings(), resume=run.path)


def test_runs_of_a_command_are_listed_by_name_and_only_finished_ones_count(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "segment" / name).mkdir(parents=True)
        (tmp_path / "segment" / name / "config.yaml").write_text("settings: {}\n")
    (tmp_path / "segment" / "no-run").mkdir()
    assert [run.path.name for run in list_runs("segment", tmp_path)] == ["a", "b"]
    assert newest_finished(("segment", "align"), tmp_path) is None
    for name in ("network.pt", "metrics.json"):
        (tmp_path / "segment" / "a" / name).write_text("{}")
    assert newest_finished(("segment", "align"), tmp_path) == Run(tmp_path / "segment" / "a")
