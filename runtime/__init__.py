"""Bedside: score, watch, show. Never reaches torch."""
