"""The dashboard: a unit board and an exam page, served to browsers beside the bed. Needs the bedside extra."""
