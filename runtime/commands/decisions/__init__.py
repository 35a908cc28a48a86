"""Commands that sign decisions: whose images they are, and which are scored again."""
