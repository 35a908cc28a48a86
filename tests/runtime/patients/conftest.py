"""What is drawn."""

from __future__ import annotations

from drawn_calls import drawn

__all__ = ["drawn"]
