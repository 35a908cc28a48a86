"""Export: from a checkpoint to a bundle, from a bundle to an engine."""
