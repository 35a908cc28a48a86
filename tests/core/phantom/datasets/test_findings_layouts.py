"""Phantoms in the layouts of datasets with findings say what the grades say."""

from __future__ import annotations

from dataclasses import replace

from lungsev.phantom.datasets.cohort import draw_cohort
from lungsev.phantom.datasets.findings_layouts import shown_findings


def test_findings_follow_from_the_grades() -> None:
    planned = draw_cohort(1, 0)[0]
    assert shown_findings(replace(planned, severity=(0.0,) * 6)) == ()
    assert shown_findings(replace(planned, severity=(0.0, 1.0, 0.0, 0.0, 0.0, 0.0))) == ("Lung Opacity",)
    everything = ("Lung Opacity", "Consolidation", "Pneumonia", "Edema")
    assert shown_findings(replace(planned, severity=(3.0,) * 6)) == everything
