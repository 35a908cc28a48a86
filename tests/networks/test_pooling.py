"""Constant matrices between tokens, regions and the map that is shown."""

from __future__ import annotations

import pytest
import torch

from lungsev.networks.pooling import ExactMap, GridResample, RegionPooling
from lungsev.schemes import builtin_schemes, load_scheme


@pytest.mark.parametrize("name", builtin_schemes())
def test_pooling_is_the_schemes_matrix(name: str) -> None:
    scheme = load_scheme(name)
    tokens = torch.randn(2, 16 * 16, 5)
    expected = torch.einsum("rl,nld->nrd", torch.from_numpy(scheme.pooling_matrix(16, 16)), tokens)
    torch.testing.assert_close(RegionPooling(scheme, 16, 16)(tokens), expected)


@pytest.mark.parametrize(("rows", "side"), [(16, 16), (20, 16), (4, 16), (32, 16)])
def test_any_grid_becomes_the_maps_side_and_keeps_its_mean(rows: int, side: int) -> None:
    values = torch.rand(2, rows * rows)
    resampled = GridResample(rows, rows, side)(values)
    assert resampled.shape == (2, side, side)
    torch.testing.assert_close(resampled.mean((1, 2)), values.mean(1))


def test_a_finer_grid_is_averaged_and_a_coarser_one_repeated() -> None:
    fine = torch.arange(16.0).reshape(1, 16)
    expected = torch.tensor([[[2.5, 4.5], [10.5, 12.5]]])
    torch.testing.assert_close(GridResample(4, 4, 2)(fine), expected)
    coarse = GridResample(2, 2, 4)(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))[0]
    torch.testing.assert_close(coarse[0], torch.tensor([1.0, 1.0, 2.0, 2.0]))
    torch.testing.assert_close(coarse[3], torch.tensor([3.0, 3.0, 4.0, 4.0]))


def test_a_map_is_corrected_to_the_expected_grades_and_left_alone_once_it_has_them() -> None:
    torch.manual_seed(0)
    scheme = load_scheme("brixia")
    exact, pool = ExactMap(scheme, 16), RegionPooling(scheme, 16, 16)
    probabilities = torch.rand(2, 6, 4).softmax(-1)
    corrected = exact(torch.rand(2, 16, 16), probabilities)
    expected = probabilities @ torch.tensor(scheme.grades, dtype=torch.float32)
    torch.testing.assert_close(pool(corrected.reshape(2, 256, 1))[..., 0], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(exact(corrected, probabilities), corrected, atol=1e-5, rtol=0)
