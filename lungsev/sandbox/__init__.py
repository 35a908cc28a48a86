"""Sandbox: reading in a limited child process."""
