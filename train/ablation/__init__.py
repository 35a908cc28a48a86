"""Arms of an ablation: each at a rate chosen on validation, compared by a rule that was written before the run."""
