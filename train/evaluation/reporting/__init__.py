"""One page over any number of runs: tables, tests and figures, from what the runs left in their folders."""

from lungsev.train.evaluation.reporting.write import write_report

__all__ = ["write_report"]
