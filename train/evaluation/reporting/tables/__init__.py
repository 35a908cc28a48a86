"""The report's tables, one file each."""

from lungsev.train.evaluation.reporting.tables.every import all_tables

__all__ = ["all_tables"]
