"""Training: PyTorch, Lightning. Never imported by `export` or `runtime`."""
