"""Values: which numbers the stored bits are, and what the look-up tables of a file hold."""
