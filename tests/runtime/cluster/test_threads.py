from __future__ import annotations

import pytest
from bedside_images import QuickModel

from lungsev.model import Model
from lungsev.runtime.cluster.threads import completed


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_task_is_done_once_by_a_model_of_its_thread(jobs: int) -> None:
    opened: list[QuickModel] = []

    def open_model() -> Model:
        opened.append(QuickModel())
        return opened[-1]

    results = list(completed((lambda model, n=number: (n, model) for number in range(20)), open_model, jobs))
    assert sorted(number for number, _ in results) == list(range(20))
    assert len(opened) == jobs
    assert all(any(model is each for each in opened) for _, model in results)
    assert all(model.closed for model in opened)


def test_tasks_are_not_made_far_ahead() -> None:
    made = []
    tasks = (lambda model, n=number: n for number in range(100) if made.append(number) is None)
    results = completed(tasks, QuickModel, 2)
    next(results)
    assert len(made) <= 6
    results.close()


def test_what_a_task_or_the_opening_raises_ends_the_others() -> None:
    def broken(model: Model) -> int:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(completed([broken, broken], QuickModel, 1))

    def no_model() -> Model:
        raise OSError("no model")

    with pytest.raises(OSError, match="no model"):
        list(completed([broken], no_model, 2))
