"""`lungsev-train joint`: one trunk on several datasets at once."""
