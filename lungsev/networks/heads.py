"""From encoded tokens to grades: one head per scheme, shared by all its regions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lungsev.networks.pooling import GridResample, RegionPooling
from lungsev.networks.settings import HeadKind, Pooling
from lungsev.schemes import Scheme

MAP_SIDE = 16
SMALLEST_PROBABILITY = 1e-6


class SchemeHead(nn.Module):
    """Pool the tokens of each region, classify them.

    `linear` and `ordinal` commute with the pooling: the map, which classifies every token alone, is then exact
    to the score (the mean of a region's token logits is the region's logits). The paper writes of an MLP that regions
    share (`mlp`); the published code has one linear layer.

    The temperature divides the logits; it is fitted on images not trained on and is 1 until then.

    Args:
        context: Show each region the mean of the whole image beside its own tokens.
        dropout: Of pooled features; among a region's tokens it would average out.
        hidden: Width inside an mlp, 0 its input's.
        hidden_dropout: Inside an mlp.
        pooling: As `RegionPooling` has it.
    """

    temperature: Tensor
    grades: Tensor

    def __init__(
        self,
        scheme: Scheme,
        side: int,
        dim: int,
        kind: HeadKind = "linear",
        context: bool = False,
        dropout: float = 0.0,
        hidden: int = 0,
        hidden_dropout: float = 0.2,
        pooling: Pooling = "area",
    ) -> None:
        super().__init__()
        self.pool = RegionPooling(scheme, side, side, pooling)
        self.to_map = GridResample(side, side, MAP_SIDE)
        self.context = context
        self.dropout = nn.Dropout(dropout)
        width = 2 * dim if context else dim
        self.classify = (
            ProductClassifier(scheme, kind, width, hidden, hidden_dropout)
            if scheme.factors
            else grade_classifier(kind, width, scheme.num_grades, hidden, hidden_dropout)
        )
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("grades", torch.tensor(scheme.grades, dtype=torch.float32), persistent=False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [N, L, D] -> probabilities [N, R, G], expected grade per cell of the map [N, 16, 16]; float32."""
        return self.logits(tokens).float().softmax(dim=-1), self.severity_map(tokens)

    def logits(self, tokens: Tensor) -> Tensor:
        """Tokens [N, L, D] -> [N, R, G]."""
        return self._classified(self.pool(tokens), tokens)

    def severity_map(self, tokens: Tensor) -> Tensor:
        """Tokens [N, L, D] -> [N, 16, 16] float32: what the head would say of a region of one token."""
        return self.to_map(self._classified(tokens, tokens).float().softmax(dim=-1) @ self.grades)

    def factors(self, tokens: Tensor) -> dict[str, Tensor]:
        """Tokens [N, L, D] -> of a scheme of products the probabilities of each factor's grades [N, R, K]."""
        if not isinstance(self.classify, ProductClassifier):
            return {}
        return self.classify.factor_probabilities(self._features(self.pool(tokens), tokens))

    def _classified(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Logits [N, K, G] of K regions or tokens of the images whose tokens [N, L, D] are given."""
        return self.classify(self._features(features, tokens)) / self.temperature.to(tokens.dtype)

    def _features(self, features: Tensor, tokens: Tensor) -> Tensor:
        """Return what the classifier reads of K regions or tokens: [N, K, D], or twice as wide with the context."""
        if self.context:
            radiograph = tokens.mean(dim=1, keepdim=True).expand(-1, features.shape[1], -1)
            features = torch.cat([features, radiograph], dim=2)
        return self.dropout(features)


def grade_classifier(kind: HeadKind, dim: int, grades: int, hidden: int = 0, hidden_dropout: float = 0.2) -> nn.Module:
    """[..., D] -> logits [..., G]; `hidden` is the width inside an mlp, 0 its input's."""
    if kind == "linear":
        return nn.Linear(dim, grades)
    if kind == "ordinal":
        return OrdinalClassifier(dim, grades)
    width = hidden or dim
    return nn.Sequential(nn.Linear(dim, width), nn.GELU(), nn.Dropout(hidden_dropout), nn.Linear(width, grades))


class OrdinalClassifier(nn.Module):
    """Adjacent-category model: one severity s for all grades, logit of grade g = g * s - threshold_g.

    A linear head with one direction instead of one per grade: with a hundred images the fewer parameters are
    the better ones, and the distribution can only move along the scale.
    """

    steps: Tensor

    def __init__(self, dim: int, grades: int) -> None:
        super().__init__()
        self.severity = nn.Linear(dim, 1, bias=False)
        self.thresholds = nn.Parameter(torch.zeros(grades))
        self.register_buffer("steps", torch.arange(grades, dtype=torch.float32), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features [..., D] -> [..., G]."""
        return self.severity(features) * self.steps.to(features.dtype) - self.thresholds


class ProductClassifier(nn.Module):
    """Factors graded apart; a grade is as likely as all combinations whose product it is.

    What is learned of a product is learned of its factors, and log probabilities take the place of logits.

    Args:
        scheme: Of factors.
        kind, dim, hidden, hidden_dropout: As `grade_classifier` has them, of each factor.
    """

    members: Tensor

    def __init__(self, scheme: Scheme, kind: HeadKind, dim: int, hidden: int = 0, hidden_dropout: float = 0.2) -> None:
        super().__init__()
        self.of_factors = nn.ModuleDict(
            {
                factor.name: grade_classifier(kind, dim, len(factor.grades), hidden, hidden_dropout)
                for factor in scheme.factors
            }
        )
        members = torch.nn.functional.one_hot(torch.tensor(scheme.product_indices), scheme.num_grades)
        self.register_buffer("members", members.float(), persistent=False)

    def factor_probabilities(self, features: Tensor) -> dict[str, Tensor]:
        """Features [..., D] -> probabilities of each factor's grades [..., K], float32."""
        return {name: classify(features).float().softmax(dim=-1) for name, classify in self.of_factors.items()}

    def forward(self, features: Tensor) -> Tensor:
        """Features [..., D] -> log probabilities [..., G], float32."""
        together: Tensor | None = None
        for probabilities in self.factor_probabilities(features).values():
            if together is None:
                together = probabilities
            else:
                together = (together.unsqueeze(-1) * probabilities.unsqueeze(-2)).flatten(-2)
        assert together is not None
        return (together @ self.members).clamp_min(SMALLEST_PROBABILITY).log()
