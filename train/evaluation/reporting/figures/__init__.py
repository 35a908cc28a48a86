"""The report's figures, one file each: a function that returns a matplotlib figure, or None of nothing to show."""

from lungsev.train.evaluation.reporting.figures.plans import Plan, all_plans

__all__ = ["Plan", "all_plans"]
