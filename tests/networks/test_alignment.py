"""The network that turns a lung mask into the aligned frame."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lungsev.networks.alignment import AlignmentNetwork, ConvolutionAlignment, EdgeAlignment, LungFrames, MaskEdges


def block(y0: int, x0: int, y1: int, x1: int, side: int = 128) -> torch.Tensor:
    mask = torch.zeros(1, 1, side, side)
    mask[..., y0:y1, x0:x1] = 1
    return mask


KINDS = pytest.mark.parametrize("kind", [EdgeAlignment, ConvolutionAlignment])


@KINDS
def test_an_untrained_network_is_the_identity_for_any_mask(kind: type[AlignmentNetwork]) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        theta = kind(input_px=32, width=4, rotation=True).eval()(torch.rand(2, 1, 256, 256))
    torch.testing.assert_close(theta, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).expand(2, 2, 3))


@KINDS
@pytest.mark.parametrize("rotation", [False, True])
def test_only_a_network_that_may_turn_turns(kind: type[AlignmentNetwork], rotation: bool) -> None:
    network = kind(input_px=64, width=4, rotation=rotation).eval()
    with torch.no_grad():
        network.theta.bias.copy_(torch.tensor([0.8, -0.2, 0.1, 0.3, 0.9, -0.1]))
        theta = network(block(30, 30, 90, 90))[0]
    turn, shear = (-0.2, 0.3) if rotation else (0.0, 0.0)
    torch.testing.assert_close(theta, torch.tensor([[0.8, turn, 0.1], [shear, 0.9, -0.1]]))


def test_the_published_kind_is_two_convolutions_and_a_fully_connected_part() -> None:
    network = ConvolutionAlignment(input_px=32, width=4)
    learned = [type(part) for part in network.modules() if list(part.parameters(recurse=False))]
    assert learned == [nn.Conv2d, nn.Conv2d, nn.Linear, nn.Linear]


def test_an_input_that_four_halvings_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 16, found 40"):
        EdgeAlignment(input_px=40)


def test_edges_are_where_the_mask_begins_and_ends() -> None:
    edges = MaskEdges(128)(block(16, 40, 112, 72)).reshape(2, 4, 2)  # columns and rows; first and last of each kind
    for found, (first, last) in zip(edges, ((40, 72), (16, 112)), strict=True):
        torch.testing.assert_close(
            found[:2], torch.tensor([[first / 64 - 1] * 2, [last / 64 - 1] * 2]), atol=0.04, rtol=0
        )
        assert (found[2] > first / 64 - 1.01).all()
        assert (found[3] < last / 64 - 0.99).all()


def test_edges_follow_a_mask_that_moves_and_are_deaf_to_a_speck() -> None:
    edges = MaskEdges(128)
    here = edges(block(16, 40, 112, 72))
    there = edges(block(16, 48, 112, 80))
    torch.testing.assert_close(there[:, :8] - here[:, :8], torch.full((1, 8), 8 / 64), atol=1e-3, rtol=0)
    torch.testing.assert_close(there[:, 8:], here[:, 8:], atol=1e-3, rtol=0)
    with_speck = block(16, 40, 112, 72)
    with_speck[..., 60, 4] = 1
    torch.testing.assert_close(edges(with_speck)[:, 4:8], here[:, 4:8], atol=0.01, rtol=0)


def test_a_mirrored_chest_gets_the_mirrored_frames() -> None:
    torch.manual_seed(0)
    network = LungFrames(input_px=32, width=4).eval()
    nn.init.normal_(network.theta.weight, std=0.05)
    lungs = torch.cat([block(20, 10, 90, 50), block(30, 70, 110, 120)], dim=1)
    with torch.no_grad():
        right, left = network(lungs)[0]
        other_right, other_left = network(lungs.flip(3).flip(1))[0]
    mirror = torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])
    # A frame is a lung's box seen as half a square, and the half changes with the side.
    torch.testing.assert_close(other_left, right * mirror * torch.tensor([[1.0, 1, 1], [1, 1, 1]]), atol=1e-5, rtol=0)
    torch.testing.assert_close(other_right, left * mirror, atol=1e-5, rtol=0)


def test_untrained_frames_are_the_whole_canvas_for_each_lung() -> None:
    with torch.no_grad():
        frames = LungFrames(input_px=32, width=4)(torch.rand(2, 2, 64, 64))[0]
    corners = torch.tensor([[-1.0, -1.0, 1.0], [0.0, 1.0, 1.0]]), torch.tensor([[0.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    for frame, half in zip(frames, corners, strict=True):
        torch.testing.assert_close(half @ frame.T, torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))


def test_a_trained_frame_stays_by_the_lung_it_was_given() -> None:
    network = LungFrames(input_px=64, width=4).eval()  # says the whole canvas
    lungs = torch.cat([block(20, 10, 90, 50), block(30, 70, 110, 120)], dim=1)
    with torch.no_grad():
        right, left = network(lungs)[0]
        only_right = network(torch.cat([lungs[:, :1], torch.zeros_like(lungs[:, :1])], dim=1))[0, 1]
    halves = torch.tensor([[-1.0, -1.0, 1.0], [0.0, 1.0, 1.0]]), torch.tensor([[0.0, -1.0, 1.0], [1.0, 1.0, 1.0]])
    for frame, half, (top, first, bottom, last) in zip(
        (right, left), halves, ((20, 10, 90, 50), (30, 70, 110, 120)), strict=True
    ):
        edges = (half @ frame.T) * 64 + 64
        torch.testing.assert_close(edges, torch.tensor([[first, top], [last, bottom]]).float(), atol=4, rtol=0)
    torch.testing.assert_close(halves[1] @ only_right.T, torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))  # no lung: as it was
