"""Data: datasets, splits, cache, augmentation, loaders."""
