"""Python models of the repository: each file is copied as `model.py` and run by Triton's Python backend."""
