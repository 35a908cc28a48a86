from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from bedside_images import MODEL, QuickModel, png
from fake_ray import FakeRay, RayTaskError, WorkerKilled

from lungsev.errors import BackendError, BundleError, LungsevError
from lungsev.runtime import logs
from lungsev.runtime.cluster import ray_cluster, ray_workers
from lungsev.runtime.cluster.ray_cluster import Demand
from lungsev.runtime.cluster.ray_workers import RayPool
from lungsev.runtime.cluster.rows import Row
from lungsev.runtime.cluster.run import Summary
from lungsev.runtime.cluster.sources import Item


class Memory:
    """A source that calls `on_fetch` in the worker with the number of every image."""

    name, left_out = "memory", Counter[str]()

    def __init__(self, on_fetch: Callable[[int], None] = lambda number: None) -> None:
        self.on_fetch, self.fetched = on_fetch, Counter[int]()

    def fetch(self, item: Item, most_bytes: int) -> bytes:
        self.fetched[int(item.place)] += 1
        self.on_fetch(int(item.place))
        return png(int(item.place))


LOGGING: list[str] = []


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: fake)
    monkeypatch.setitem(__import__("sys").modules, "ray", fake)
    monkeypatch.setattr(logs, "logging_to", fake_logging)
    return fake


@contextmanager
def fake_logging(folder: Path | None, level: str) -> Iterator[None]:
    LOGGING.append(level)
    yield
    with suppress(ValueError):  # a worker of an earlier test
        LOGGING.remove(level)


def score(
    source: Memory, count: int = 20, open_model: Callable[[], QuickModel] = QuickModel, **options: object
) -> tuple[list[Row], Summary]:
    pool = RayPool([source], open_model, MODEL.bundle_sha256, "auto", Demand(), **options)  # type: ignore[arg-type, list-item]
    summary = Summary()
    return list(pool.score((Item(f"m/{number}", str(number)) for number in range(count)), summary)), summary


def statuses(rows: list[Row]) -> Counter:
    assert len(rows) == len({row["source"] for row in rows})
    return Counter(row["reason"] or row["status"] for row in rows)


def test_every_image_is_scored_once_by_all_workers(ray: FakeRay) -> None:
    rows, summary = score(Memory())
    assert statuses(rows) == {"scored": 20}
    assert summary.workers == 2
    assert ray.asked["remote"] == {"num_cpus": 1, "num_gpus": 0.0, "max_restarts": 0, "max_concurrency": 2}
    assert all(actor.is_dead for actor in ray.actors)
    assert not ray.is_joined


def test_a_cluster_without_room_for_a_worker_is_said_while_it_is_waited_for(
    ray: FakeRay, caplog: pytest.LogCaptureFixture
) -> None:
    ray.late = 2
    rows, _ = score(Memory())
    assert statuses(rows) == {"scored": 20}
    assert [record.message.partition(":")[0] for record in caplog.records] == ["no worker has started yet"] * 2


def test_a_worker_logs_without_the_text_of_errors_for_as_long_as_it_lives(ray: FakeRay) -> None:
    seen: list[list[str]] = []
    LOGGING.clear()
    score(Memory(lambda number: seen.append(list(LOGGING))), count=3, jobs=1)
    assert seen == [["warning"]] * 3


def test_a_worker_that_dies_costs_a_retry_and_no_image(ray: FakeRay) -> None:
    deaths = iter([True])

    def die_once(number: int) -> None:
        if number == 7 and next(deaths, False):
            raise WorkerKilled

    source = Memory(die_once)
    rows, summary = score(source)
    assert statuses(rows) == {"scored": 20}
    assert summary.deaths == 1
    assert source.fetched[7] == 2
    assert len(ray.actors) == 3


def test_an_image_that_ends_its_worker_again_and_again_is_given_up_and_no_other(ray: FakeRay) -> None:
    def poison(number: int) -> None:
        if number in (4, 11):
            raise WorkerKilled

    source = Memory(poison)
    rows, _ = score(source)
    assert statuses(rows) == {"scored": 18, "worker_died": 2}
    lost = next(row for row in rows if row["source"] == "m/4")
    assert lost["message"] == "The worker ended while it scored this image, in 3 attempts."
    assert lost["bundle_sha256"] == MODEL.bundle_sha256
    assert max(source.fetched[number] for number in range(20) if number not in (4, 11)) <= 3
    assert 3 <= source.fetched[4] <= 4  # with another image beside it the first time: that counts for neither


def test_an_image_beside_one_that_kills_loses_no_attempt(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image but one kills; the innocent one is begun beside others each time and is scored in the end."""
    monkeypatch.setattr(ray_workers, "ATTEMPTS", 1)

    def poison(number: int) -> None:
        if number != 5:
            raise WorkerKilled

    rows, _ = score(Memory(poison), count=10, jobs=1)
    assert statuses(rows) == {"scored": 1, "worker_died": 9}


def test_a_lost_machine_costs_no_image_an_attempt(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_workers, "ATTEMPTS", 1)
    lost = iter(range(5))

    def lose_machine(number: int) -> None:
        if number == 3 and next(lost, None) is not None:
            ray.gone.add(ray.running.node)
            raise WorkerKilled

    rows, summary = score(Memory(lose_machine))
    assert statuses(rows) == {"scored": 20}
    assert summary.deaths == 5


def test_a_device_that_fails_costs_a_worker_and_no_image(ray: FakeRay) -> None:
    errors = iter([None, None, BackendError("CUDA error 700"), BackendError("CUDA error 700")])

    def open_model() -> QuickModel:
        return QuickModel(score_error=lambda radiograph: next(errors, None))

    rows, summary = score(Memory(), open_model=open_model)
    assert statuses(rows) == {"scored": 20}
    assert summary.deaths == 0
    assert len(ray.actors) >= 3


def test_devices_that_always_fail_end_the_run(ray: FakeRay) -> None:
    broken = QuickModel(score_error=lambda radiograph: BackendError("CUDA error 700"))
    with pytest.raises(BackendError, match="CUDA error 700; that was so 5 times in a row"):
        score(Memory(), open_model=lambda: broken)
    assert not ray.is_joined


def test_images_that_all_end_their_workers_end_the_run(ray: FakeRay) -> None:
    def die(number: int) -> None:
        raise WorkerKilled

    with pytest.raises(LungsevError, match="the last 20 images each ended their worker 3 times"):
        score(Memory(die), count=100)


def no_bundle() -> QuickModel:
    raise BundleError("no bundle at /models/x")


def died() -> QuickModel:
    raise WorkerKilled


@pytest.mark.parametrize(
    ("open_model", "words"),
    [
        (no_bundle, "a worker cannot score: no bundle at /models/x"),
        (lambda: QuickModel(info=replace(MODEL, bundle_sha256="f" * 64)), "it found another bundle at the same place"),
        (died, "a worker ended while it opened the model"),
    ],
)
def test_workers_that_cannot_score_end_the_run(ray: FakeRay, open_model: Callable[[], QuickModel], words: str) -> None:
    with pytest.raises(LungsevError, match=words):
        score(Memory(), open_model=open_model)


def test_a_worker_with_another_version_is_told(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = ray_workers.Opened
    monkeypatch.setattr(ray_workers, "__version__", "2.0")
    monkeypatch.setattr(ray_workers.ScoringWorker, "open", lambda self: opened(1, "node0", "1.0", MODEL))
    with pytest.raises(LungsevError, match=r"it has lungsev 1\.0, this machine 2\.0: install the same on all"):
        score(Memory())


def test_a_bug_is_raised_as_it_is(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(self: object, item: Item) -> None:
        raise RayTaskError("a bug")

    monkeypatch.setattr(ray_workers.ScoringWorker, "score", bug)
    with pytest.raises(RayTaskError):
        score(Memory())
    assert not ray.is_joined


SLOW_ARCHIVE = 24


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ray leaves processes to the collector
def test_a_cluster_of_two_workers_survives_the_kill_of_one(tmp_path: Path) -> None:
    """A real cluster on this machine; one worker is killed while it has images."""
    pytest.importorskip("ray", reason="the extra cluster is not installed")
    pytest.importorskip("pyarrow", reason="the extra cluster is not installed")
    import os
    import signal
    from functools import partial

    from archive_runs import table

    from lungsev.bundle.archive import read_bundle
    from lungsev.model import load
    from lungsev.phantom import make_phantom, write_phantom_dicom
    from lungsev.runtime.cluster.files import LocalFiles
    from lungsev.runtime.cluster.ray_workers import Opened
    from lungsev.runtime.cluster.run import run_archive

    archive, out = tmp_path / "archive", tmp_path / "out"
    archive.mkdir()
    for number in range(SLOW_ARCHIVE):
        write_phantom_dicom(make_phantom(number, size_px=256), archive / f"{number:02d}.dcm")
    (archive / "letter.txt").write_text("Dear colleague")
    bundle, sources, opened = read_bundle(), [LocalFiles(archive)], list[Opened]()
    pool = RayPool(
        sources, partial(load, None, "onnxruntime", 1), bundle.sha256, "local", Demand(), 2, on_opened=opened.append
    )
    killed = []

    def kill_one(summary: Summary) -> None:
        if summary.images == 4 and not killed:
            environment = Path(f"/proc/{opened[0].process}/environ").read_bytes().split(b"\0")
            assert b"RAY_USAGE_STATS_ENABLED=0" in environment
            killed.append(opened[0].process)
            os.kill(opened[0].process, signal.SIGKILL)

    summary = run_archive(sources, pool, out, bundle.sha256, on_progress=kill_one)
    rows = table(out)
    assert killed
    assert summary.deaths == 1
    assert len(opened) in (2, 3)  # the other worker may finish before the new one is ready
    assert len(rows) == len({row["source"] for row in rows}) == SLOW_ARCHIVE + 1
    assert summary.failed == {"not_dicom": 1}
    assert not {row["reason"] for row in rows} & {"worker_died", "internal_error"}
    (archive / "letter.txt").unlink()  # what failed is tried again
    again = run_archive(sources, pool, out, bundle.sha256)
    assert (again.done, again.images) == (SLOW_ARCHIVE, 0)
    assert len(table(out)) == SLOW_ARCHIVE + 1
