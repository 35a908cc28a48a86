"""Any timm network as a source of features."""

from __future__ import annotations

import pytest
import timm
import torch

from lungsev.errors import ConfigError
from lungsev.networks.backbone import Backbone, default_levels, timm_name

NAME = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    return Backbone(NAME).eval()


def test_an_unknown_name_is_answered_with_those_near_it() -> None:
    assert timm_name(NAME) == NAME
    with pytest.raises(ConfigError, match=r"'resnet1' is unknown .* do you mean .*resnet"):
        timm_name("resnet1")


def test_levels_of_every_stride_come_on_one_grid() -> None:
    torch.manual_seed(0)
    backbone = Backbone(NAME, (2, 3, 4)).eval()
    with torch.no_grad():
        features = backbone(torch.rand(2, 1, 64, 64))
    assert backbone.reductions == (8, 16, 32)
    assert features.shape == (2, backbone.channels, 4, 4)


@pytest.mark.parametrize(
    ("name", "side", "levels", "options"),
    [
        ("resnet18", 4, (3, 4), {}),  # strides 2 to 32
        ("convnext_atto", 4, (2, 3), {}),  # strides 4 to 32
        ("swin_tiny_patch4_window7_224", 4, (2, 3), {"img_size": 64}),  # its levels end in their channels
        ("test_vit", 4, None, {}),
        ("vit_small_patch14_dinov2", 4, None, {"img_size": 64}),  # 64 / 14 patches
    ],
)
def test_levels_that_suit_the_stride_are_chosen_of_any_family(
    name: str, side: int, levels: tuple[int, ...] | None, options: dict[str, int]
) -> None:
    backbone = Backbone(name, size_px=64).eval()
    with torch.no_grad():
        assert backbone(torch.rand(1, 1, 64, 64)).shape == (1, backbone.channels, side, side)
    assert backbone.options.items() >= options.items()
    if levels is not None:
        assert default_levels(name, 16, 64) == levels
    state = backbone.timm_state()
    whole = timm.create_model(name, in_chans=1, **backbone.options).state_dict()
    assert set(state) <= set(whole)
    backbone.load_weights(whole)


def test_the_levels_that_are_chosen_draw_no_random_numbers() -> None:
    torch.manual_seed(4)
    chosen = Backbone(NAME, size_px=64).timm_state()
    torch.manual_seed(4)
    stated = Backbone(NAME, (3, 4), size_px=64).timm_state()
    assert all(torch.equal(chosen[key], value) for key, value in stated.items())


@pytest.mark.parametrize(("name", "levels"), [(NAME, (9,)), ("test_vit", (40,))])
def test_levels_that_are_not_there_are_refused_in_one_line(name: str, levels: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=rf"no feature maps of levels \[{levels[0]}\] of images of 64 px") as caught:
        Backbone(name, levels, size_px=64)
    assert "\n" not in str(caught.value)


def test_a_network_without_feature_maps_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, **options: object) -> None:
        raise RuntimeError(f"features_only not implemented for {name}\nsecond line")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(
        ConfigError, match=r"no feature maps of images of 64 px \(RuntimeError: features_only"
    ) as caught:
        Backbone("resnet26", size_px=64)
    assert "\n" not in str(caught.value)


def test_finer_levels_are_averaged_and_coarser_ones_enlarged(backbone: Backbone) -> None:
    fine = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])
    torch.testing.assert_close(backbone._resize(fine, 8, 1), torch.tensor([[[[4.0]]]]))
    torch.testing.assert_close(backbone._resize(fine, 16, 2), fine)
    enlarged = backbone._resize(fine, 32, 4)
    assert enlarged.shape == (1, 1, 4, 4)
    torch.testing.assert_close(enlarged.mean(), torch.tensor(4.0))


def test_timm_sees_the_image_between_minus_one_and_one(backbone: Backbone) -> None:
    seen: list[torch.Tensor] = []
    hook = backbone.net.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        backbone(torch.tensor([0.0, 1.0]).repeat(32).expand(1, 1, 64, 64))
    hook.remove()
    assert seen[0].unique().tolist() == [-1.0, 1.0]


def test_timm_sees_the_image_as_it_is_where_that_is_asked_for() -> None:
    backbone = Backbone(NAME, input_range="zero_to_one").eval()
    seen: list[torch.Tensor] = []
    backbone.net.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        backbone(image)
    assert torch.equal(seen[0], image)


def test_weights_go_out_and_in_under_timms_names_and_a_missing_one_is_an_error(backbone: Backbone) -> None:
    state = backbone.timm_state()
    other = Backbone(NAME).eval()
    other.load_weights({**state, "classifier.weight": torch.zeros(3)})
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(other(image), backbone(image))
    name = next(key for key in state if key.endswith("weight"))
    del state[name]
    with pytest.raises(RuntimeError, match=name):
        other.load_weights(state)
