"""`pocket`: a small FLUX.2 model made here, the scenes it learned from, and its training."""
