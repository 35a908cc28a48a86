"""Sweeps: many trainings of one config, with some of its keys chosen by Optuna."""
