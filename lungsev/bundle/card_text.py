"""Sentences of model cards, the same on the card of a bundle and on that of a run."""

from __future__ import annotations

from collections.abc import Iterable

from lungsev.grading import Calibration
from lungsev.schemes import Scheme

LICENCE = "CC BY-NC-SA 4.0, research use only"
INTENDED_USE = (
    "Research on how severely pneumonia affects each lung region of an adult's portable frontal chest radiograph. "
    "Not a medical device: not for diagnosis, triage or treatment of a patient."
)
LIMITS = (
    "Images of children, lateral images, CT scouts and images without both lungs are not meant to be graded. The "
    "quality gate of lungsev-run refuses those that it recognises, which is not all of them. Readers differ from each "
    "other, so a total has an interval, and a change between two images has a probability."
)

# The papers of CITATION.cff.
CITATION = """The method is that of Lee, Kim and Lee; Brixia scores on large datasets are due to Signoroni et al.

```bibtex
@inproceedings{lee2024covid19,
  title = {COVID19 to Pneumonia: Multi Region Lung Severity Classification using CNN Transformer Position-Aware Feature
    Encoding Network},
  author = {Lee, Jong Bub and Kim, Jung Soo and Lee, Hyun Gyu},
  booktitle = {Medical Image Computing and Computer Assisted Intervention - MICCAI 2024},
  volume = {15001},
  pages = {472--481},
  year = {2024},
  doi = {10.1007/978-3-031-72378-0_44}
}
@article{signoroni2021bsnet,
  title = {BS-Net: learning COVID-19 pneumonia severity on a large chest X-ray dataset},
  author = {Signoroni, Alberto and Savardi, Mattia and Benini, Sergio and others},
  journal = {Medical Image Analysis},
  volume = {71},
  pages = {102046},
  year = {2021},
  doi = {10.1016/j.media.2021.102046}
}
```"""
# Layout of `lungsev-train` -> description on the model card.
DATA_SOURCES = {
    "cohen": "Brixia scores by two radiologists on public images (Signoroni et al. 2021, CC BY-NC-SA 4.0; images of "
    "the COVID-19 image data collection, Cohen et al. 2020, each under its own licence)",
    "brixia": "BrixIA COVID-19 dataset (Signoroni et al. 2021; access by agreement)",
    "lung_pairs": "lung masks by V7 Labs on public images of the COVID-19 image data collection (CC BY 4.0): "
    "segmentation, image check and alignment",
    "pneumonia-224": "3,600 images of children, normal, bacterial and viral (Kermany et al. 2018, CC BY 4.0): "
    "pre-training",
    "ralo": "RALO: extent and opacity of each lung by two radiologists on portable images of adults with COVID-19 "
    "(Cohen et al. 2020, CC BY-SA 4.0)",
    "outlines": "outlines of ground glass and consolidation by radiologists on public images "
    "(General Blockchain Inc., CC BY 4.0)",
    "boxes": "boxes around opacity, and images without any, of the RSNA pneumonia challenge (Shih et al. 2019) on "
    "images of the NIH Clinical Center (Wang et al. 2017)",
    "phantom": "synthetic phantom images of lungsev",
}


def scheme_line(scheme: Scheme, calibration: Calibration) -> str:
    """Return what a scheme predicts, as an item of a list."""
    interval = (
        f"total interval calibrated for {calibration.coverage:.0%} of images"
        if calibration.interval_margin is not None
        else "total interval not calibrated"
    )
    return (
        f"- **{scheme.title}** ({scheme.source}): {scheme.num_regions} regions "
        f"({', '.join(f'{region.code} {region.name}' for region in scheme.regions)}), grades {scheme.grades[0]} to "
        f"{scheme.grades[-1]} ({'; '.join(scheme.grade_names)}); decided by {calibration.decision}, {interval}."
    )


def joined_lists(parts: Iterable[str]) -> list[str]:
    """Join list items that follow each other into one list."""
    joined: list[str] = []
    for part in parts:
        if part.startswith("- ") and joined and joined[-1].startswith("- "):
            joined[-1] += f"\n{part}"
        else:
            joined.append(part)
    return joined
