"""Scored images."""

from __future__ import annotations

from drawn_calls import drawn
from scored_images import failed, make_scored, make_scored_dicom, skipped

__all__ = ["drawn", "failed", "make_scored", "make_scored_dicom", "skipped"]
