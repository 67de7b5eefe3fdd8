"""`python -m training` is `dgrl-train`; torchrun starts it by this name."""

from training.cli import app

app()
