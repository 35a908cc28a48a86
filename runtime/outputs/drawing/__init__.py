"""Drawing: the picture of a result."""
