"""The network that finds the lungs, and the check that reads its features."""

from __future__ import annotations

import pytest
import torch

from lungsev.errors import ConfigError
from lungsev.networks.segmentation import SegmentationNetwork

ENCODER = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def network() -> SegmentationNetwork:
    torch.manual_seed(0)
    return SegmentationNetwork(ENCODER, (16, 8, 8, 8, 8)).eval()


def test_the_mask_is_as_large_as_the_image_and_the_check_reads_the_deepest_features(
    network: SegmentationNetwork,
) -> None:
    image = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        logits, features = network.with_features(image)
        torch.testing.assert_close(network(image), logits)
        assert network.image_check is not None
        assert network.image_check(features).shape[0] == 2
    assert logits.shape == (2, 1, 64, 64)
    assert features.shape == (2, network.net.encoder.out_channels[-1], 2, 2)


def test_the_encoder_sees_the_image_between_minus_one_and_one(network: SegmentationNetwork) -> None:
    seen: list[torch.Tensor] = []
    hook = network.net.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        network.encode(torch.tensor([0.0, 1.0]).repeat(32).expand(1, 1, 64, 64))
    hook.remove()
    assert seen[0].unique().tolist() == [-1.0, 1.0]


def test_weights_of_a_classifier_go_into_the_encoder_and_a_missing_one_is_an_error(
    network: SegmentationNetwork,
) -> None:
    own = {key: value.clone() for key, value in network.net.encoder.model.state_dict().items()}
    name = next(key for key in own if key.endswith("weight"))
    changed = {**own, name: own[name] + 1}
    network.load_encoder({**changed, "classifier.weight": torch.zeros(3)})
    torch.testing.assert_close(network.net.encoder.model.state_dict()[name], own[name] + 1)
    del changed[name]
    with pytest.raises(RuntimeError, match=name):
        network.load_encoder(changed)
    network.load_encoder(own)


def test_there_is_no_check_unless_asked_for_and_an_unknown_encoder_is_named() -> None:
    assert SegmentationNetwork(ENCODER, (16, 8, 8, 8, 8), image_check=False).image_check is None
    with pytest.raises(ConfigError, match="chestnet"):
        SegmentationNetwork("chestnet")


@pytest.mark.parametrize("widths", [(16, 8, 8, 8, 8), (256, 128, 64, 32, 16)])
def test_the_decoder_is_as_wide_as_asked_for(widths: tuple[int, int, int, int, int]) -> None:
    with torch.device("meta"):
        network = SegmentationNetwork(ENCODER, widths)
    assert type(network.net).__name__ == "UnetPlusPlus"
    assert network.net.segmentation_head[0].in_channels == widths[-1]
    columns = network.net.decoder.blocks
    assert [columns[f"x_0_{depth}"].conv1[0].out_channels for depth in range(5)][::4] == [widths[0], widths[-1]]
