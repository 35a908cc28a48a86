"""Scored images."""

from __future__ import annotations

from scored_images import failed, make_scored, make_scored_dicom, skipped

__all__ = ["failed", "make_scored", "make_scored_dicom", "skipped"]
