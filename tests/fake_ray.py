"""Ray without a cluster: actors are objects of this process, and die when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class RayActorError(RayError):
    pass


class WorkerKilled(BaseException):
    """Raised by what an actor runs, where a real one would end its process."""


@dataclass
class FakeRay:
    """Answers in the order of the calls. The machine of actor n is `node<n>`.

    Attributes:
        late: Times that nothing is ready yet.
        gone: Machines that are lost; their actors are found dead.
    """

    resources: dict[str, float] = field(default_factory=lambda: {"CPU": 2.0})
    gone: set[str] = field(default_factory=set)
    actors: list[_Actor] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)
    init_error: Exception | None = None
    is_joined: bool = False
    late: int = 0
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError))

    def init(self, **options: Any) -> None:
        self.asked["init"] = options
        if self.init_error is not None:
            raise self.init_error
        self.is_joined = True

    def shutdown(self) -> None:
        self.is_joined = False

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: self.running.node)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": actor.node, "Alive": actor.node not in self.gone} for actor in self.actors]

    def remote(self, **options: Any) -> Callable[[type], Any]:
        self.asked["remote"] = options

        def make(kind: type) -> Any:
            return SimpleNamespace(remote=lambda *arguments: self._start(kind(*arguments)))

        return make

    def wait(
        self, references: Sequence[_Reference], num_returns: int, timeout: float
    ) -> tuple[list[_Reference], list[_Reference]]:
        assert num_returns == 1
        if self.late:
            self.late -= 1
            return [], list(references)
        first = min(references, key=lambda reference: reference.number)
        return [first], [reference for reference in references if reference is not first]

    def get(self, reference: _Reference) -> Any:
        actor = reference.actor
        if actor.is_dead or actor.node in self.gone:
            actor.is_dead = True
            raise RayActorError
        if not reference.is_done:
            self.running = actor
            try:
                reference.answer = reference.call()
            except WorkerKilled:
                actor.is_dead = True
                raise RayActorError from None
            reference.is_done = True
        return reference.answer

    def kill(self, actor: _Actor, no_restart: bool) -> None:
        assert no_restart
        actor.is_dead = True

    def _start(self, instance: Any) -> _Actor:
        actor = _Actor(self, instance, f"node{len(self.actors)}")
        self.actors.append(actor)
        return actor


@dataclass(eq=False)
class _Reference:
    number: int
    actor: _Actor
    call: Callable[[], Any]
    is_done: bool = False
    answer: Any = None


class _Actor:
    _calls = 0

    def __init__(self, ray: FakeRay, instance: Any, node: str) -> None:
        self.ray, self.instance, self.node, self.is_dead = ray, instance, node, False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.instance, name)

        def remote(*arguments: Any) -> _Reference:
            _Actor._calls += 1
            return _Reference(_Actor._calls, self, lambda: method(*arguments))

        return SimpleNamespace(remote=remote)
