"""Packaged bundles."""
