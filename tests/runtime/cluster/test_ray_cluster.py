from __future__ import annotations

import os
import socket

import pytest
from fake_ray import FakeRay

from lungsev.errors import LungsevError, MissingExtraError
from lungsev.runtime.cluster import ray_cluster
from lungsev.runtime.cluster.ray_cluster import Demand, import_ray, joined


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: fake)
    return fake


def test_usage_statistics_are_switched_off_before_ray_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.setitem(__import__("sys").modules, "ray", FakeRay())
    import_ray()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(
        MissingExtraError, match=r'--cluster needs the "cluster" extra: pip install "lungsev\[cluster\]"'
    ):
        import_ray()


@pytest.mark.parametrize(
    ("resources", "demand", "jobs", "workers"),
    [
        ({"CPU": 16.0}, Demand(), None, 16),
        ({"CPU": 16.0}, Demand(cpus=3), None, 5),
        ({"CPU": 16.0}, Demand(), 4, 4),
        ({"CPU": 16.0, "GPU": 2.0}, Demand(gpus=0.25), None, 8),
        ({"CPU": 16.0, "GPU": 2.0}, Demand(gpus=0.6), None, 2),
        ({"CPU": 16.0, "GPU": 4.0}, Demand(gpus=2), None, 2),
        ({"CPU": 3.0, "GPU": 2.0}, Demand(gpus=0.25), None, 3),
        ({}, Demand(), 4, 4),  # of a cluster that grows with what is asked of it
    ],
)
def test_as_many_workers_as_there_is_room_for(
    ray: FakeRay, resources: dict[str, float], demand: Demand, jobs: int | None, workers: int
) -> None:
    ray.resources = resources
    with joined("auto", demand, jobs) as (module, found):
        assert module is ray
        assert ray.is_joined
        assert found == workers
    assert not ray.is_joined


def test_what_ray_prints_does_not_get_among_the_results(ray: FakeRay, capsys: pytest.CaptureFixture[str]) -> None:
    with joined("auto", Demand(), None):
        print("(raylet) A worker died")
    print("{}")
    assert capsys.readouterr() == ("{}\n", "(raylet) A worker died\n")


def test_a_cluster_without_room_is_left_again(ray: FakeRay) -> None:
    with (
        pytest.raises(LungsevError, match=r"no room for a worker of 1 CPUs and 1 GPUs"),
        joined("auto", Demand(1, 1), None),
    ):
        pass
    assert not ray.is_joined


def test_a_cluster_of_this_machine_has_a_cpu_for_every_worker(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "usable_cpus", lambda: 2)
    with joined("local", Demand(2), 3):
        assert ray.asked["init"]["num_cpus"] == 6
        assert ray.asked["init"]["include_dashboard"] is False
        assert ray.asked["init"]["log_to_driver"] is False
    with joined("auto", Demand(2), 3):
        assert "num_cpus" not in ray.asked["init"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("auto", "found no Ray cluster: start one with `ray start --head`"),
        ("local", "Ray does not start on this machine: no luck"),
    ],
)
def test_a_cluster_that_does_not_answer_is_said_in_one_line(ray: FakeRay, address: str, words: str) -> None:
    ray.init_error = ConnectionError("no\n luck")
    with pytest.raises(LungsevError, match=words), joined(address, Demand(), None):
        pass


@pytest.mark.parametrize("scheme", ["ray://", ""])
def test_an_address_where_something_listens_is_given_to_ray(ray: FakeRay, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}127.0.0.1:{server.getsockname()[1]}"
        with joined(address, Demand(), None):
            assert ray.asked["init"]["address"] == address
        ray.init_error = ConnectionError("no luck")
        with pytest.raises(LungsevError, match=f"no Ray cluster answers at {address}: no luck; check the address"):
            joined(address, Demand(), None).__enter__()
    with pytest.raises(LungsevError, match=f"no Ray cluster answers at {address}: .*refused"):
        joined(address, Demand(), None).__enter__()


@pytest.mark.parametrize("address", ["nonsense", "ray://head", "head:99999", "ray://"])
def test_an_address_that_is_none_is_refused_at_once(ray: FakeRay, address: str) -> None:
    with pytest.raises(LungsevError, match=r"expected auto, local, ray://HOST:10001 or HOST:6379"):
        joined(address, Demand(), None).__enter__()
    assert "init" not in ray.asked
