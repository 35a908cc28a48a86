"""Datasets of images with findings and no grades, for pre-training: one file per published layout."""
