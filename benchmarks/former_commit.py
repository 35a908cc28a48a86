"""Workers that score image files with this tree or with a former commit of it, each in a process of its own.

A worker opens the model once by `lungsev.load` and then takes one path after the other. Its clock runs around the score
and the text of its JSON, so that this tree and a former commit are timed by the same lines.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Grades = dict[str, Any]  # of the regions by scheme and name; empty where an image has no score

REPOSITORY = Path(__file__).resolve().parents[1]
_START_SECONDS = 120.0
_PACKAGES_ELSEWHERE = ("configs", "export", "runtime", "train")  # beside `lungsev`, and below it when installed

_WORKER = """
import inspect, json, sys, time
sys.path.insert(0, sys.argv[1])
try:  # before anything loads a library with threads, as `lungsev-run` does
    from lungsev.inference.cpus import limit_thread_pools
    limit_thread_pools()
except ImportError:
    pass
import lungsev
options = {"allow_unsigned": True, "sandbox": sys.argv[4] == "sandbox"}
known = inspect.signature(lungsev.load).parameters
options = {name: value for name, value in options.items() if name in known}
threads = int(sys.argv[3]) or None
with lungsev.load(sys.argv[2] or None, "onnxruntime", threads, **options) as model:
    print(json.dumps({"package": lungsev.__file__, "bundle": model.info.bundle_sha256}), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        report = model.score(line.rstrip(chr(10)))
        text = report.to_json()
        took = (time.perf_counter() - started) * 1000
        grades = {
            f"{scheme}.{region.name}": region.grade
            for scheme, score in report.scores.items() for region in score.regions
        }
        print(json.dumps({"ms": took, "status": report.status, "grades": grades, "bytes": len(text)}), flush=True)
"""


class WorkerError(Exception):
    """A worker ended or said something else."""


class Worker:
    """A process that scores image files; call it with a path.

    Args:
        package: Folder that holds the package `lungsev`.
        bundle: Of the model; None is the one packaged there.
        threads: Of the network; None leaves it to the package.
        sandbox: Read files in a child process, as `score` and `watch` do.

    Attributes:
        bundle_sha256: Of the bundle that it opened.

    Raises:
        WorkerError: It does not start.
    """

    def __init__(self, package: Path, bundle: Path | None, threads: int | None = None, sandbox: bool = False) -> None:
        words = [str(package), str(bundle or ""), str(threads or 0), "sandbox" if sandbox else "direct"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the worker
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, cwd=tempfile.gettempdir(),
        )  # fmt: skip
        try:
            ready = self._read()
            if not Path(ready["package"]).is_relative_to(package):
                raise WorkerError(f"the worker imported {ready['package']}, expected the package in {package}")
        except BaseException:
            self.close()
            raise
        self.bundle_sha256: str = ready["bundle"]

    def __call__(self, image: Path) -> dict[str, Any]:
        """Return milliseconds, status and grades of an image. Raises WorkerError where it ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{image}\n")
            self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the worker."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(_START_SECONDS)
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            raise WorkerError(f"the worker ended: {said[-1] if said else 'it gave no reason'}")
        return dict(json.loads(line))


@contextlib.contextmanager
def package_of(revision: str | None) -> Iterator[tuple[Path, str]]:
    """Yield the folder that holds the package `lungsev` of a git revision, and the commit; None is this tree.

    The former tree is checked out beside the repository's own files and removed afterwards.

    Raises:
        WorkerError: There is no such revision, or it cannot be checked out.
    """
    with tempfile.TemporaryDirectory(prefix="lungsev-former-") as folder:
        if revision is None:
            yield _linked(REPOSITORY, Path(folder)), _git("rev-parse", "--short", "HEAD")
            return
        commit = _git("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
        tree = Path(folder) / "tree"
        _git("worktree", "add", "--detach", str(tree), commit)
        try:
            yield _linked(tree, Path(folder)), commit[:9]
        finally:
            _git("worktree", "remove", "--force", str(tree))


@dataclass(frozen=True)
class GradeChanges:
    """Grades of one scorer beside another's.

    Attributes:
        changed: Grades that differ, of the images that both scored.
        grades: All grades of those images.
        images: Number of those images.
        scored_by_one_only: Images that the other one refused.
    """

    changed: int
    grades: int
    images: int
    scored_by_one_only: int


def count_changed(mine: Sequence[Grades], theirs: Sequence[Grades]) -> GradeChanges:
    """Compare the grades of the same images in the same order; an image without a score has none."""
    both = [(one, other) for one, other in zip(mine, theirs, strict=True) if one and other]
    names = [one.keys() | other.keys() for one, other in both]
    return GradeChanges(
        changed=sum(
            one.get(name) != other.get(name) for (one, other), known in zip(both, names, strict=True) for name in known
        ),
        grades=sum(map(len, names)),
        images=len(both),
        scored_by_one_only=sum(bool(one) != bool(other) for one, other in zip(mine, theirs, strict=True)),
    )


def _linked(tree: Path, folder: Path) -> Path:
    """A folder in which the packages of a tree are below one another, as they are when installed."""
    package = folder / "package" / "lungsev"
    package.mkdir(parents=True)
    for entry in (*(tree / "lungsev").iterdir(), *(tree / name for name in _PACKAGES_ELSEWHERE)):
        if entry.exists() and entry.name != "__pycache__":
            (package / entry.name).symlink_to(entry)
    return package.parent


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(REPOSITORY), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise WorkerError(f"git {words[0]}: {said}")
    return done.stdout.strip()
