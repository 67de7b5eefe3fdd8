"""From checkpoints to a bundle, through a gate."""
