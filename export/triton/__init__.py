"""Triton model repository and client."""
