"""Evaluation: metrics, calibration, predictions, reports."""
