from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from lungsev.errors import LungsevError
from lungsev.report import ImageInfo, SeverityReport, Timing
from lungsev.runtime.settings import HealthSettings
from lungsev.runtime.watcher.health import Health, HealthServer
from lungsev.runtime.watcher.metrics import Metrics

ANYWHERE = HealthSettings(enabled=True, port=0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    metrics = Metrics()
    with HealthServer(ANYWHERE, health, {"/metrics": lambda: metrics.render({"ready": 1.0}, {"done": 2})}) as running:
        yield running


def get(server: HealthServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_alive_while_every_thread_is_heard_of(server: HealthServer, health: Health, clock: Clock) -> None:
    health.beat("scoring")
    assert get(server, "/livez")[0] == 200
    clock.now += 1000
    assert get(server, "/livez") == (503, "a thread hangs\n")


def test_ready_unless_something_keeps_images_from_being_scored(server: HealthServer, health: Health) -> None:
    assert get(server, "/readyz") == (200, "ready\n")
    health.set_problem("disk", "the disk is nearly full")
    assert get(server, "/readyz") == (503, "the disk is nearly full\n")
    health.clear_problem("disk")
    assert get(server, "/readyz")[0] == 200


def test_metrics_and_nothing_else(server: HealthServer) -> None:
    status, page = get(server, "/metrics")
    assert status == 200
    assert 'lungsev_ledger_images{state="done"} 2' in page
    assert get(server, "/../etc/passwd")[0] == 404
    assert get(server, "/")[0] == 404


def test_a_port_that_is_taken_is_one_line(server: HealthServer, health: Health) -> None:
    with pytest.raises(LungsevError, match=r"health\.port"):
        HealthServer(HealthSettings(enabled=True, port=server.port), health, {})


def test_histograms_add_up_and_say_nothing_of_the_patient() -> None:
    metrics = Metrics()
    image = ImageInfo(patient_id="CANARY", sop_instance_uid="1.2.CANARY")
    for milliseconds in (3, 300, 3_000_000):
        report = SeverityReport(
            "skipped", image, reason="not_frontal_chest", timing_ms=Timing(decode=milliseconds, total=milliseconds)
        )
        metrics.observe_image(report, 1.0, 0.5)
    page = metrics.render({}, {})
    assert 'lungsev_images_total{status="skipped",code="not_frontal_chest"} 3' in page
    assert 'lungsev_stage_seconds_bucket{stage="decode",le="0.5"} 2' in page
    assert 'lungsev_stage_seconds_bucket{stage="decode",le="+Inf"} 3' in page
    assert 'lungsev_stage_seconds_count{stage="decode"} 3' in page
    assert "CANARY" not in page
