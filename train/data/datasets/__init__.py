"""Training datasets as their authors publish them, one file each, behind `contract`."""

from lungsev.train.data.datasets.contract import (
    Dataset,
    GradedDataset,
    GradedFilm,
    LabelledDataset,
    LabelledFilm,
    Layout,
    MaskedDataset,
    MaskedFilm,
)
from lungsev.train.data.datasets.recognise import layouts, load_all, load_graded, load_labelled, load_masked

__all__ = [
    "Dataset",
    "GradedDataset",
    "GradedFilm",
    "LabelledDataset",
    "LabelledFilm",
    "Layout",
    "MaskedDataset",
    "MaskedFilm",
    "layouts",
    "load_all",
    "load_graded",
    "load_labelled",
    "load_masked",
]
