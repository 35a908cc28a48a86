"""The trainings of a table of arms several at a time: PAFE or not on one GPU in one call of at most ten minutes.

python benchmarks/pafe_on_gpu.py pack FOLDER PACKED
    Cohen-Brixia of FOLDER in 8-bit JPEG of at most 768 px, a tenth of its size, for a machine that it must be sent to.
python benchmarks/pafe_on_gpu.py train --data PACKED --weights RUN --minutes 8 --keep DIR
    Trains the rows of Cohen-Brixia; what is needed to decide goes to DIR/pafe-or-not.tar.gz, also when time is short:
    then the first seeds are whole. A run that was stopped continues. RUN is the joint run all arms start from; it needs
    network.pt, config.yaml, metrics.json, sources/ and the alignment run that config.yaml names (or --set
    alignment=RUN).
tar xzf DIR/pafe-or-not.tar.gz -C runs; lungsev-train table pafe_or_not --decide --seeds 3
    Says what follows, on any machine.

On two CPU cores: --table pafe_or_not_small --at-once 2 --minutes 600 --precision 32
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

KEPT = ("config.yaml", "metrics.json", "predictions-test.json", "predictions-validation.json")
LONG_SIDE_PX, QUALITY = 768, 92


@dataclass(frozen=True)
class Job:
    """One training, or the measurement of all folds of one seed, in a folder of its own."""

    settings: Any
    folder: Path


def pack(source: Path, target: Path) -> None:
    """Copy Cohen-Brixia with smaller images: same names, whatever their suffix says."""
    import cv2

    from lungsev.train.data.datasets import load_graded
    from lungsev.train.data.sources import find_dataset

    root, _ = find_dataset(source, "severity", ("cohen",))
    for table in sorted(root.glob("*.csv")):
        (target / root.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(table, target / root.name / table.name)
    for image in load_graded(root).images:
        pixels = cv2.imread(str(image.path), cv2.IMREAD_COLOR)
        if pixels is None:
            sys.exit(f"{image.path} cannot be read")
        shrink = min(1.0, LONG_SIDE_PX / max(pixels.shape[:2]))
        small = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        path = target / root.name / image.path.relative_to(root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.tobytes())
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    print(f"{target}: {size / 2**20:.1f} MiB")


def plan(options: argparse.Namespace) -> tuple[Path, list[Job], list[Job]]:
    """Return the folder of the rows, the trainings seed by seed, and the measurements of whole seeds."""
    from lungsev.config import parse_assignments
    from lungsev.train.data.datasets import load_graded
    from lungsev.train.data.preparation import ready_images
    from lungsev.train.tasks.cross_validation import count_folds, of_fold
    from lungsev.train.tasks.seeds import of_seed
    from lungsev.train.tasks.table_settings import default_out, read_table
    from lungsev.train.tasks.tables import TableRequest, alignment_of, settings_of_row

    table = read_table(options.table)
    out = options.out or default_out(options.table, table)
    given = {
        "loop.precision": options.precision,
        "data.workers": 1,
        "loop.threads": 1,
        **parse_assignments(options.assign),
    }
    alignment = Path(given["alignment"]) if "alignment" in given else alignment_of(options.weights)
    request = TableRequest(options.data, out, alignment, given, options.weights)
    names = [row.name for row in table.rows if row.arm and row.dataset in options.dataset]
    rows = table.chosen(names, with_weights=True)
    settings: dict[str, Any] = {row.name: settings_of_row(table, row, request, alignment) for row in rows}
    for one in {str(each.data.root): each for each in settings.values()}.values():
        ready_images(
            load_graded(one.data.root, one.data.layout, one.scheme).images, one.data
        )  # once, before all at once
    trainings, seeds = [], []
    for number in range(table.seeds):
        for name, each in settings.items():
            own, folder = of_seed(each, number), out / name / f"seed-{number}"
            if own.data.split.fold == "all":
                count = count_folds(own)
                trainings += [Job(of_fold(own, fold, count), folder / f"fold-{fold}") for fold in range(count)]
                seeds.append(Job(own, folder))
            else:
                trainings.append(Job(own, folder))
    return out, trainings, seeds


def quietly(folder: Path) -> None:
    """Let a worker write what it says into a file: seven at once cannot be read."""
    import os

    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout = sys.stderr = io.TextIOWrapper((folder / f"{os.getpid()}.txt").open("ab"), write_through=True)


def work(job: Job) -> float:
    """Train or measure; returns seconds."""
    from lungsev.train.runs import Run, open_run
    from lungsev.train.tasks.cross_validation import run_grading
    from lungsev.train.threads import use_threads

    start = time.monotonic()
    use_threads(1)
    if not Run(job.folder).is_finished:
        run_grading(job.settings, open_run("", job.settings, out=job.folder))
    return time.monotonic() - start


def finished(pool: ProcessPoolExecutor, jobs: list[Job], until: float, at_once: int) -> Iterator[tuple[Job, float]]:
    """Yield jobs as they end; none is begun after `until` or once one has failed."""
    left = iter(jobs)
    running: dict[Future[float], Job] = {}
    while True:
        while len(running) < at_once and time.monotonic() < until and (job := next(left, None)) is not None:
            running[pool.submit(work, job)] = job
        if not running:
            return
        for done in wait(running, return_when=FIRST_COMPLETED).done:
            job = running.pop(done)
            if done.exception() is None:
                yield job, done.result()
            else:
                print(f"{job.folder}: {done.exception()}", flush=True)
                until = 0.0


def train(options: argparse.Namespace) -> None:
    """Train what the time allows, measure whole seeds, keep what a decision needs."""
    until = time.monotonic() + 60 * options.minutes
    out, trainings, seeds = plan(options)
    print(f"{len(trainings)} trainings, {options.at_once} at a time, in {out}", flush=True)
    with ProcessPoolExecutor(options.at_once, get_context("spawn"), quietly, (out / "log",)) as pool:
        for number, (job, seconds) in enumerate(finished(pool, trainings, until, options.at_once), start=1):
            print(f"{number} of {len(trainings)}: {job.folder}, {seconds:.0f} s", flush=True)
        whole = [job for job in seeds if all((one.folder / "network.pt").is_file() for one in _folds(job, trainings))]
        for job, seconds in finished(pool, whole, float("inf"), options.at_once):
            print(f"measured {job.folder}, {seconds:.0f} s", flush=True)
    options.keep.mkdir(parents=True, exist_ok=True)
    archive = options.keep / f"{out.name}.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for path in sorted(path for name in KEPT for path in out.rglob(name)):
            file.add(path, str(Path(out.name) / path.relative_to(out)))
    print(f"{archive}: {archive.stat().st_size / 2**20:.1f} MiB; whole seeds: {len(whole)} of {len(seeds)}")


def _folds(seed: Job, trainings: list[Job]) -> list[Job]:
    return [job for job in trainings if job.folder.parent == seed.folder]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("source", type=Path)
    packing.add_argument("target", type=Path)
    training = commands.add_parser("train")
    training.add_argument("--data", type=Path, required=True)
    training.add_argument("--weights", type=Path, required=True)
    training.add_argument("--table", default="pafe_or_not")
    training.add_argument("--dataset", action="append", help="cohen (default) or ralo; repeatable")
    training.add_argument("--out", type=Path, help="folder of the rows; default as of the table")
    training.add_argument("--keep", type=Path, default=Path("runs"), help="folder of the archive")
    training.add_argument("--at-once", type=int, default=7)
    training.add_argument("--minutes", type=float, default=8.0, help="after which no training begins")
    training.add_argument("--precision", choices=("32", "bf16", "fp16"), default="bf16")
    training.add_argument("--set", dest="assign", action="append", default=[], help="any setting of the rows")
    options = parser.parse_args()
    if options.command == "pack":
        pack(options.source, options.target)
    else:
        options.dataset = options.dataset or ["cohen"]
        train(options)


if __name__ == "__main__":
    main()
