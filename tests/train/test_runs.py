"""A run folder is continued by the same settings, held by one process, and read back after a kill."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.errors import ConfigError
from lungsev.train.runs import Run, fingerprint, finished_run, list_runs, newest_finished, open_run
from lungsev.train.settings import DataSettings, LoopSettings, Settings
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


def test_cache_workers_and_threads_do_not_decide_a_result() -> None:
    assert fingerprint(LoopSettings(threads=2, keep_checkpoints=True)) == fingerprint(LoopSettings())
    assert fingerprint(DataSettings(workers=3, cache=Path("x"))) == fingerprint(DataSettings())
    assert fingerprint(DataSettings(skip_unreadable=True)) != fingerprint(DataSettings())


def test_a_folder_of_other_settings_or_a_finished_run_is_not_overwritten(tmp_path: Path) -> None:
    run = open_run("segment", DataSettings(), out=tmp_path / "run")
    (run.path / "history.jsonl").touch()
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


class LoopedSettings(Settings):
    loop: LoopSettings = LoopSettings()


def test_a_start_that_failed_does_not_block_its_folder(tmp_path: Path) -> None:
    """It ended before its first epoch; another start may have other settings, and other images to split."""
    out = tmp_path / "run"
    failed = open_run("brixia", LoopedSettings(), out=out)
    failed.splits.write_text("{}")
    open_run("", LoopedSettings(), out=out / "fold-0")
    other = LoopedSettings(loop=LoopSettings(epochs=2))
    run = open_run("brixia", other, out=out, fresh=True)
    assert run.settings()["loop"]["epochs"] == 2
    assert not run.splits.exists()
    (out / "fold-0" / "history.jsonl").touch()
    with pytest.raises(ConfigError, match="an unfinished run of other settings"):
        open_run("brixia", LoopedSettings(), out=out)


def test_other_processes_of_a_torchrun_take_the_folder_as_the_main_one_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("settings: {epochs: of another time}")
    (tmp_path / "history.jsonl").touch()
    monkeypatch.setenv("RANK", "1")
    assert open_run("brixia", LoopedSettings(), out=tmp_path) == Run(tmp_path)
    assert "another time" in (tmp_path / "config.yaml").read_text()
    with pytest.raises(ConfigError, match="give --out DIR with torchrun"):
        open_run("brixia", LoopedSettings())


@pytest.mark.parametrize("keep", [False, True])
def test_checkpoints_of_a_finished_run_and_of_runs_in_it_go_unless_they_are_to_stay(tmp_path: Path, keep: bool) -> None:
    settings = LoopedSettings(loop=LoopSettings(keep_checkpoints=keep))
    run = open_run("brixia", settings, out=tmp_path / "run")
    fold = open_run("", settings, out=run.path / "fold-0")
    foreign = run.path / "log" / "checkpoints" / "a.ckpt"  # no run of ours
    foreign.parent.mkdir(parents=True)
    for path in (foreign, run.last_checkpoint, fold.last_checkpoint):
        path.touch()
    run.remove_checkpoints()
    assert (run.last_checkpoint.exists(), fold.checkpoints.exists()) == (keep, keep)
    assert foreign.exists()


def test_what_a_kill_after_the_last_step_left_goes_when_the_run_is_met_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = open_run("brixia", LoopedSettings())
    run.last_checkpoint.touch()
    run.network.touch()
    run.write_metrics({})
    assert open_run("brixia", LoopedSettings()).path != run.path
    assert not run.checkpoints.exists()
