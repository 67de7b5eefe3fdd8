"""From images of people to checkpoints: datasets, low-resolution twins, RCAN, DGRL, evaluation, calibration."""
