"""The check of a dataset: what it holds and what is wrong with it."""
