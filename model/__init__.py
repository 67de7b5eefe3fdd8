"""The DGRL networks (torch) and, in `model.bundle`, the exported bundle that all else runs (no torch)."""
