"""Fitting: the training loop, losses, checkpoints, loggers."""
