"""Output formats, one file each, behind the contract of `contract.py`."""
