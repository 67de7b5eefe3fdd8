"""The DGRL networks (torch) and, in `model.bundle`, the exported bundle that everything else runs (no torch)."""
