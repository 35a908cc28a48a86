"""Constant matrices between tokens, regions and the map that is shown."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from lungsev.networks.pooling import ExactMap, GridResample, RegionPooling
from lungsev.schemes import builtin_schemes, load_scheme


@pytest.mark.parametrize("name", builtin_schemes())
def test_pooling_is_the_schemes_matrix(name: str) -> None:
    scheme = load_scheme(name)
    tokens = torch.randn(2, 16 * 16, 5)
    expected = torch.einsum("rl,nld->nrd", torch.from_numpy(scheme.pooling_matrix(16, 16)), tokens)
    torch.testing.assert_close(RegionPooling(scheme, 16, 16)(tokens), expected)


CELLS_OF_BRIXIA = ((0, 6), (4, 11), (9, 16))  # rows of A and D, B and E, C and F: int(0.4 * 16), int(0.3 * 16), ...


@pytest.mark.parametrize("side", [16, 8, 20])
def test_cells_are_the_plain_mean_of_whole_cells_after_a_bilinear_resize(side: int) -> None:
    tokens = torch.randn(2, side * side, 5)
    plane = tokens.transpose(1, 2).reshape(2, 5, side, side)
    plane = functional.interpolate(plane, (16, 16), mode="bilinear", align_corners=False)
    expected = [plane[:, :, y0:y1, x0 : x0 + 8].mean(dim=(2, 3)) for x0 in (0, 8) for y0, y1 in CELLS_OF_BRIXIA]
    found = RegionPooling(load_scheme("brixia"), side, side, "cells")(tokens)
    torch.testing.assert_close(found, torch.stack(expected, dim=1), atol=1e-5, rtol=1e-4)


def test_a_region_without_a_whole_cell_is_refused() -> None:
    scheme = load_scheme("brixia")
    thin = scheme.regions[0].model_copy(update={"box": (0.0, 0.0, 0.06, 0.5)})
    with pytest.raises(ValueError, match="region A holds no cell of 16 x 16; expected pooling area"):
        RegionPooling(scheme.model_copy(update={"regions": (thin, *scheme.regions[1:])}), 16, 16, "cells")


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
