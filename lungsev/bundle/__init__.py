"""Bundles: all that crosses from training to the bedside."""
