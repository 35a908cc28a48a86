"""This tree and a former commit are scored by the same lines, each from its own package."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lungsev.bundle.archive import Bundle
from lungsev.phantom import make_phantom, write_phantom_dicom

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import former_commit  # noqa: E402
from former_commit import GradeChanges, Worker, WorkerError, count_changed, package_of  # noqa: E402


@pytest.fixture(autouse=True)
def _repository() -> Iterator[None]:
    if not (former_commit.REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout")
    yield
    listed = subprocess.run(["git", "worktree", "list"], capture_output=True, text=True, check=True, cwd=BENCHMARKS)
    assert "lungsev-former-" not in listed.stdout


def test_grades_are_compared_where_both_scored_and_who_refused_is_counted_apart() -> None:
    mine = [{"a": 1, "b": 2}, {"a": 0, "b": 0}, {}, {"a": 3}, {}]
    theirs = [{"a": 1, "b": 3}, {"a": 0, "b": 0}, {"a": 1}, {}, {}]
    assert count_changed(mine, theirs) == GradeChanges(changed=1, grades=4, images=2, scored_by_one_only=2)


def test_a_revision_that_is_not_there_is_said() -> None:
    with pytest.raises(WorkerError, match="git rev-parse"), package_of("no-such-revision"):
        pass
    with pytest.raises(WorkerError, match="git rev-parse"), package_of("--help"):
        pass


@pytest.mark.slow
def test_this_tree_and_a_commit_score_the_same_image(tiny_bundle: Bundle, tmp_path: Path) -> None:
    image = write_phantom_dicom(make_phantom(1), tmp_path / "image.dcm")
    assert tiny_bundle.path is not None
    found = []
    for revision in (None, "HEAD"):
        with package_of(revision) as (package, commit):
            worker = Worker(package, tiny_bundle.path, threads=1)
            found.append(worker(image))
            worker.close()
            assert commit
    assert found[0]["ms"] > 0
    assert found[0]["status"] == "scored"
    assert found[0]["grades"] == found[1]["grades"]


@pytest.mark.slow
def test_a_worker_that_does_not_start_gives_its_reason(tmp_path: Path) -> None:
    with package_of(None) as (package, _), pytest.raises(WorkerError, match=r"there is no bundle at"):
        Worker(package, tmp_path / "none")
