from __future__ import annotations

import torch
from torch import Tensor, nn

from lungsev.export.deployable import Deployable


class TwoOutputs(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        assert not self.training
        return {"mean": image.mean(dim=(2, 3)).double(), "image": image.half()}


def test_outputs_come_in_a_fixed_order_as_float32() -> None:
    deployable = Deployable(TwoOutputs(), 8)
    assert deployable.output_shapes == {"mean": (1, 1), "image": (1, 1, 8, 8)}
    assert deployable.output_names == ["mean", "image"]
    outputs = deployable(deployable.example())
    assert [output.dtype for output in outputs] == [torch.float32] * 2
    torch.testing.assert_close(outputs[0], torch.tensor([[0.5]]))
