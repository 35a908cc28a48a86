"""Shipped YAML: schemes, training recipes, bedside settings."""
