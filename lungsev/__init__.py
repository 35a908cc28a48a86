"""Region-wise pneumonia severity on portable chest X-rays, at the bedside."""

__version__ = "0.1.0"
