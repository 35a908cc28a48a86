"""The same images come in the same order, however many processes share the work."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from lungsev.errors import ConfigError
from lungsev.train.data.loaders import EpochSampler, Key, generator_of, make_loader


class Keys:
    """Items that are their own keys."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, key: Key) -> dict[str, Any]:
        return {"epoch": key[0], "index": key[1]}


def test_processes_share_one_permutation() -> None:
    alone = EpochSampler(10, shuffle=True, seed=3, rank=0, world=1)
    shares = [EpochSampler(10, shuffle=True, seed=3, rank=rank, world=2) for rank in range(2)]
    for epoch in range(3):
        for sampler in (alone, *shares):
            sampler.set_epoch(epoch)
        whole = list(alone)
        assert [pair for both in zip(*shares, strict=True) for pair in both] == whole
    assert {index for _, index in whole} == set(range(10))


def test_training_repeats_an_image_only_where_a_process_would_have_none_or_one_for_the_last_step() -> None:
    def shares(per_step: int) -> list[list[tuple[int, int]]]:
        samplers = [EpochSampler(7, True, 0, per_step=per_step, rank=rank, world=2) for rank in range(2)]
        assert [len(list(sampler)) for sampler in samplers] == [len(sampler) for sampler in samplers]
        return [list(sampler) for sampler in samplers]

    assert [len(share) for share in shares(2)] == [4, 4]  # two steps each
    assert [len(share) for share in shares(3)] == [5, 5]
    assert [len(share) for share in shares(4)] == [4, 3]
    for per_step in (2, 3, 4):
        assert {index for share in shares(per_step) for _, index in share} == set(range(7))


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 7, 8, 9, 10, 11, 13])
def test_no_step_of_training_has_a_single_image(count: int, world: int) -> None:
    shares = [list(EpochSampler(count, True, 0, per_step=4, rank=rank, world=world)) for rank in range(world)]
    assert len({-(-len(share) // 4) for share in shares}) == 1  # as many steps each
    assert all(len(share) % 4 != 1 for share in shares)
    assert {index for share in shares for _, index in share} == set(range(count))
    assert sum(map(len, shares)) <= count + 2 * world


def test_a_step_of_one_image_stays_where_it_is_asked_for() -> None:
    assert len(EpochSampler(5, True, 0, per_step=1, rank=0, world=1)) == 5


def test_what_is_only_measured_is_measured_once() -> None:
    samplers = [EpochSampler(7, shuffle=False, seed=0, rank=rank, world=3) for rank in range(3)]
    assert [len(sampler) for sampler in samplers] == [3, 2, 2]
    assert sorted(index for sampler in samplers for _, index in sampler) == list(range(7))
    assert [len(EpochSampler(1, shuffle=False, seed=0, rank=rank, world=2)) for rank in range(2)] == [1, 1]


def test_an_item_of_no_weight_is_never_sampled() -> None:
    sampler = EpochSampler(50, shuffle=False, seed=0, weights=[0, 1] * 25, rank=0, world=1)
    drawn = [index for _, index in sampler]
    assert len(drawn) == 50
    assert all(index % 2 for index in drawn)
    assert len(set(drawn)) < 25 < len(drawn)


def test_a_batch_is_shared_by_processes_and_accumulated_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    loader = make_loader(Keys(), 8, shuffle=False, seed=0, workers=0, accumulate=2)
    assert [batch["index"].tolist() for batch in loader] == [[1, 3], [5, 7]]
    with pytest.raises(ConfigError, match=r"loop\.batch_size 6 cannot be shared .* choose a multiple of 4"):
        make_loader(Keys(), 6, shuffle=False, seed=0, workers=0, accumulate=2)


def test_few_batches_start_no_worker() -> None:
    assert make_loader(Keys(), 8, shuffle=False, seed=0, workers=4).num_workers == 0
    assert make_loader(Keys(), 2, shuffle=False, seed=0, workers=4).num_workers == 2


def test_random_numbers_depend_on_seed_epoch_image_and_stream_alone() -> None:
    draws = [(0, (0, 0), 0), (1, (0, 0), 0), (0, (1, 0), 0), (0, (0, 1), 0), (0, (0, 0), 1)]
    first, again = ([generator_of(*draw).random() for draw in draws] for _ in range(2))
    assert first == again
    assert all(one != other for one, other in itertools.combinations(first, 2))
