"""Ray cluster: joined, or started on this machine for one run, without usage statistics."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lungsev.errors import LungsevError, MissingExtraError
from lungsev.inference.cpus import usable_cpus

USAGE_STATISTICS = "RAY_USAGE_STATS_ENABLED"
_CONNECT_SECONDS = 10.0
# Rows are kilobytes and travel inside messages; the least that Ray takes, of /dev/shm.
_OBJECT_STORE_BYTES = 80 * 1024 * 1024


@dataclass(frozen=True)
class Demand:
    """What one worker takes of the cluster.

    Attributes:
        cpus: Threads of the network.
        gpus: May be a fraction: 0.25 puts four workers on a GPU.
    """

    cpus: int = 1
    gpus: float = 0.0


def import_ray() -> Any:
    """Return the module, with its usage statistics switched off: nothing is sent from here.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    os.environ[USAGE_STATISTICS] = "0"  # Ray reads it when a cluster is started
    try:
        import ray
    except ImportError:
        raise MissingExtraError("--cluster", "cluster") from None
    return ray


@contextlib.contextmanager
def joined(address: str, demand: Demand, jobs: int | None) -> Iterator[tuple[Any, int]]:
    """Join a cluster, or start one on this machine, until the block ends.

    Args:
        address: `local` starts one; `auto` is the one that $RAY_ADDRESS names or that runs on this machine; else its
            address, for example `ray://head:10001` or `head:6379`.
        demand: Of one worker.
        jobs: Number of workers; None is as many as the cluster has room for.

    Yields:
        The module of Ray, and the number of workers.

    Raises:
        LungsevError: Ray is not installed, no cluster answers, or it has no room for one worker.
    """
    with contextlib.redirect_stdout(sys.stderr):  # Ray prints there when a worker dies
        yield from _joined(address, demand, jobs)


def _joined(address: str, demand: Demand, jobs: int | None) -> Iterator[tuple[Any, int]]:
    ray = import_ray()
    if address not in ("local", "auto"):
        _check_answers(address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {
            "num_cpus": max(usable_cpus(), (jobs or 1) * demand.cpus),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    try:
        ray.init(address=address, **options)
    except Exception as error:  # ConnectionError, ValueError, RuntimeError and others of Ray's own
        raise LungsevError(_no_cluster(address, error)) from None
    try:
        room = _room(ray.cluster_resources(), demand)
        if not jobs and not room:
            raise LungsevError(
                f"the cluster has no room for a worker of {demand.cpus} CPUs and {demand.gpus:g} GPUs: ask for less, "
                "or say with --jobs how many workers it will have room for"
            )
        yield ray, jobs or room
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise LungsevError unless something listens at an address: Ray itself would try for minutes."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise LungsevError(f"found --cluster {address}, expected auto, local, ray://HOST:10001 or HOST:6379")
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        raise LungsevError(_no_cluster(address, error)) from None


def _room(resources: dict[str, float], demand: Demand) -> int:
    """Return the number of workers that a cluster has room for."""
    rooms = [resources.get("CPU", 0.0) // demand.cpus]
    if demand.gpus:
        # A worker cannot have parts of two GPUs.
        rooms.append(
            resources.get("GPU", 0.0) * (1 // demand.gpus)
            if demand.gpus <= 1
            else resources.get("GPU", 0.0) // demand.gpus
        )
    return int(min(rooms))


def _no_cluster(address: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if address == "local":
        return f"Ray does not start on this machine: {reason}"
    if address == "auto":
        return (
            "found no Ray cluster: start one with `ray start --head`, set RAY_ADDRESS, or use --cluster local for this "
            "machine alone"
        )
    return (
        f"no Ray cluster answers at {address}: {reason}; check the address, and set RAY_AUTH_MODE=token where the "
        "cluster asks for its token"
    )
