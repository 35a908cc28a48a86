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
)
from lungsev.train.data.datasets.recognise import (
    layouts,
    load_all,
    load_graded,
    load_labelled,
    load_masked,
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
    "layouts",
    "load_all",
    "load_graded",
    "load_labelled",
    "load_masked",
]
