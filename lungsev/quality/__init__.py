"""Quality gate: which images get no score, and which get a warning."""
