"""External results: a bundle measured on images that none of its stages was trained on, written into its card."""

from lungsev.train.evaluation.external.command import measure_external

__all__ = ["measure_external"]
