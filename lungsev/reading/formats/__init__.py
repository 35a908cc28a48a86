"""Formats that need more than one call of a library: TIFF by its tags, JPEG 2000 at half size."""
