"""Preprocessing: from a `Radiograph` to the square canvas, and the aligned frame."""
