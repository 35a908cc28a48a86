"""Settings of a fused network that is too small to learn, but real."""

from __future__ import annotations

from lungsev.networks.settings import FusedSettings

TINY_FUSED = FusedSettings.model_validate(
    {
        "segmentation": {
            "encoder": "mobilenetv3_small_050",
            "decoder_channels": [16, 8, 8, 8, 8],
            "size_px": 64,
            "pretrained": "none",
        },
        "alignment": {"input_px": 16, "width": 4},
        "severity": {
            "backbone": "mobilenetv3_small_050",
            "crop_px": 64,
            "dim": 16,
            "oversample": 1,
            "pretrained": "none",
        },
    }
)
