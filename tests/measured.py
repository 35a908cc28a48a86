"""A repeatability as a bundle holds it, in round numbers."""

from __future__ import annotations

from lungsev.change import Repeatability

MEASURED = Repeatability(
    shared_error=0.55,
    drift_per_day=0.5,
    step_share=0.2,
    step_variance=6.0,
    region_shared_error=0.9,
    region_process=0.06,
    margin=0.5,
    call_from=0.65,
)
