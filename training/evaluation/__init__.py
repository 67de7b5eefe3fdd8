"""From vectors to figures: ranking, calibration and their reports."""
