"""Datasets, one file each, behind the contract of `contract.py`."""
