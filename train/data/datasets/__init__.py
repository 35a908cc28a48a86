"""Training datasets as their authors publish them, one file each, behind `contract`."""

from lungsev.train.data.datasets.contract import (
    Dataset,
    FindingsDataset,
    FindingsImage,
    GradedDataset,
    GradedImage,
    LabelledDataset,
    LabelledImage,
    Layout,
    MaskedDataset,
    MaskedImage,
    PlacedDataset,
    PlacedImage,
)
from lungsev.train.data.datasets.recognise import (
    layouts,
    load_all,
    load_graded,
    load_labelled,
    load_masked,
    load_places,
)

__all__ = [
    "Dataset",
    "FindingsDataset",
    "FindingsImage",
    "GradedDataset",
    "GradedImage",
    "LabelledDataset",
    "LabelledImage",
    "Layout",
    "MaskedDataset",
    "MaskedImage",
    "PlacedDataset",
    "PlacedImage",
    "layouts",
    "load_all",
    "load_graded",
    "load_labelled",
    "load_masked",
    "load_places",
]
