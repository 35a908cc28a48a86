"""One head per scheme: probabilities of every region, and a map that agrees with them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lungsev.networks.heads import OrdinalClassifier, ProductClassifier, SchemeHead, grade_classifier
from lungsev.schemes import load_scheme


@pytest.mark.parametrize("kind", ["linear", "ordinal"])
def test_the_map_is_exact_to_the_score(kind: str) -> None:
    """The mean of the token logits inside a region's box is the region's logits."""
    torch.manual_seed(0)
    scheme = load_scheme("brixia")
    head = SchemeHead(scheme, 16, 12, kind)  # type: ignore[arg-type]
    tokens = torch.randn(2, 256, 12)
    torch.testing.assert_close(head.pool(head.classify(tokens)), head.logits(tokens), atol=1e-5, rtol=1e-4)


def test_a_uniform_radiograph_has_the_same_grade_in_map_and_regions() -> None:
    scheme = load_scheme("brixia")
    head = SchemeHead(scheme, 16, 12)
    probabilities, severity_map = head(torch.randn(1, 1, 12).expand(1, 256, 12))
    expected = probabilities @ torch.tensor(scheme.grades, dtype=torch.float32)
    torch.testing.assert_close(severity_map.amin(), expected.amax(), atol=1e-4, rtol=0)


def test_ordinal_grades_move_along_the_scale() -> None:
    """A higher severity never makes a lower grade likelier than it was against a higher one."""
    classifier = grade_classifier("ordinal", 1, 4)
    torch.nn.init.ones_(classifier.severity.weight)
    mild, severe = classifier(torch.tensor([[0.0], [1.0]]))
    assert ((severe - mild).diff() > 0).all()


def test_context_lets_a_region_know_the_rest_of_the_radiograph_and_keeps_the_map_exact() -> None:
    torch.manual_seed(0)
    scheme = load_scheme("brixia")
    head = SchemeHead(scheme, 16, 12, "ordinal", context=True)
    tokens = torch.randn(1, 256, 12)
    elsewhere = tokens.clone()
    elsewhere[:, 200:] += 1.0  # rows 12-15: zones C and F
    assert (head.logits(elsewhere)[:, 0] - head.logits(tokens)[:, 0]).abs().max() > 1e-4
    token_logits = head._classified(tokens, tokens)
    torch.testing.assert_close(head.pool(token_logits), head.logits(tokens), atol=1e-5, rtol=1e-4)


def test_the_temperature_divides_the_logits() -> None:
    torch.manual_seed(0)
    head = SchemeHead(load_scheme("brixia"), 16, 12)
    tokens = torch.randn(1, 256, 12)
    sharp = head.logits(tokens)
    head.temperature.fill_(2.0)
    torch.testing.assert_close(head.logits(tokens), sharp / 2)


def test_the_logit_of_a_grade_is_the_grade_times_the_severity_less_its_threshold() -> None:
    classifier = OrdinalClassifier(2, 4)
    with torch.no_grad():
        classifier.severity.weight.copy_(torch.tensor([[1.0, 2.0]]))
        classifier.thresholds.copy_(torch.tensor([0.0, 1.0, 3.0, 6.0]))
    logits = classifier(torch.tensor([[1.0, 0.5]]))
    torch.testing.assert_close(logits, torch.tensor([[0.0, 1.0, 1.0, 0.0]]))


def test_dropout_inside_an_mlp_is_what_is_asked_for() -> None:
    for share in (0.0, 0.3):
        dropouts = [
            part.p for part in grade_classifier("mlp", 6, 4, 0, share).modules() if isinstance(part, nn.Dropout)
        ]
        assert dropouts == [share]
    head = SchemeHead(load_scheme("brixia"), 16, 12, "mlp", dropout=0.0, hidden_dropout=0.0).train()
    tokens = torch.randn(1, 256, 12)
    assert torch.equal(head.logits(tokens), head.logits(tokens))


def test_a_head_may_pool_whole_cells() -> None:
    head = SchemeHead(load_scheme("brixia"), 16, 12, pooling="cells")
    tokens = torch.randn(1, 16, 16, 12)
    zone_b = tokens[:, 4:11, 0:8].mean(dim=(1, 2))
    torch.testing.assert_close(head.logits(tokens.reshape(1, 256, 12))[:, 1], head.classify(zone_b))


def test_an_mlp_is_as_wide_as_its_input_unless_told() -> None:
    for hidden, width in ((0, 6), (9, 9)):
        classifier = grade_classifier("mlp", 6, 4, hidden)
        linear = [layer for layer in classifier.modules() if isinstance(layer, nn.Linear)]
        assert [layer.weight.shape for layer in linear] == [(width, 6), (4, width)]


def test_a_product_is_as_likely_as_the_factors_that_make_it() -> None:
    torch.manual_seed(0)
    rale = load_scheme("rale")
    head = SchemeHead(rale, 4, 12, "mlp", context=True, hidden=8).eval()
    tokens = torch.randn(2, 16, 12)
    probabilities, severity_map = head(tokens)
    factors = head.factors(tokens)
    assert {name: tuple(each.shape) for name, each in factors.items()} == {"extent": (2, 4, 5), "density": (2, 4, 3)}
    expected = torch.zeros(2, 4, len(rale.grades))
    for extent in range(5):
        for place, density in enumerate((1, 2, 3)):
            both = factors["extent"][..., extent] * factors["density"][..., place]
            expected[..., rale.grades.index(extent * density)] += both
    torch.testing.assert_close(probabilities, expected, atol=1e-4, rtol=1e-4)
    assert severity_map.shape == (2, 16, 16)
    assert SchemeHead(load_scheme("brixia"), 4, 12).factors(tokens) == {}


def test_a_product_teaches_both_of_its_factors_and_keeps_its_temperature() -> None:
    rale = load_scheme("rale")
    head = SchemeHead(rale, 4, 12)
    head.logits(torch.randn(1, 16, 12))[..., rale.grades.index(12)].sum().backward()
    assert isinstance(head.classify, ProductClassifier)
    for classify in head.classify.of_factors.values():
        assert classify.weight.grad.abs().sum() > 0
    sharp, tokens = head.logits(torch.randn(1, 16, 12)), torch.randn(1, 16, 12)
    sharp = head.logits(tokens)
    head.temperature.fill_(2.0)
    torch.testing.assert_close(head.logits(tokens), sharp / 2)
