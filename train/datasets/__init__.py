"""Training datasets as their authors publish them, one file each, behind `contract`."""

from .contract import GradedDataset, GradedFilm, Layout, MaskedDataset, MaskedFilm
from .recognise import layouts, load_graded, load_masked

__all__ = [
    "GradedDataset",
    "GradedFilm",
    "Layout",
    "MaskedDataset",
    "MaskedFilm",
    "layouts",
    "load_graded",
    "load_masked",
]
