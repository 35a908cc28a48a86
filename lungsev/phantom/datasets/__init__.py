"""Synthetic datasets in the folder layouts of their originals."""
