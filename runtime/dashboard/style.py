"""CSS classes of severities, in the colours of the pictures."""

from __future__ import annotations

from lungsev.drawing.palette import ink_on, severity_colour

SEVERITY_STEPS = 12  # classes sev-0 ... sev-12
UNGRADED_STEP = "none"  # class sev-none of app.css: no grade


def severity_step(value: float | None, lowest: float, highest: float) -> int | str:
    """Return the class for a value between the scheme's ends; values beyond them get the end's class, None has one."""
    if value is None:
        return UNGRADED_STEP
    return round(SEVERITY_STEPS * min(1.0, max(0.0, (value - lowest) / max(1, highest - lowest))))


def palette_css() -> str:
    """Return the style sheet with a class for each step and the colour ramp of the map's legend."""
    colours = [severity_colour(step / SEVERITY_STEPS) for step in range(SEVERITY_STEPS + 1)]
    lines = [f".sev-{step}{{--sev:rgb{colour};--sev-ink:rgb{ink_on(colour)}}}" for step, colour in enumerate(colours)]
    stops = ",".join(f"rgb{colour}" for colour in colours)
    return "\n".join([*lines, f".ramp{{background:linear-gradient(to right,{stops})}}"]) + "\n"
