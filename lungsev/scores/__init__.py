"""Scores: regions with their grades, totals, and what is known of both."""
