"""Patients over time: history, trend, chart."""
