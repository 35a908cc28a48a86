"""Settings that would do nothing are refused."""

from __future__ import annotations

import pytest

from lungsev.networks.settings import BsNetSettings, SeveritySettings


def test_settings_that_bsnet_would_ignore_are_refused() -> None:
    plain = {"neck": "bsnet", "position_aware": False}
    assert SeveritySettings(**plain).bsnet.freeze_encoder
    for changes, message in (
        ({"position_aware": True}, "no position-aware encoder"),
        ({"dim": 128}, "does not use dim"),
        ({"head": "mlp"}, "does not use head"),
        ({"flip_tta": True}, "does not use flip_tta"),
    ):
        with pytest.raises(ValueError, match=message):
            SeveritySettings(**{**plain, **changes})
    with pytest.raises(ValueError, match="only neck: bsnet uses them"):
        SeveritySettings(bsnet=BsNetSettings(classifier_width=16))
