"""What computes: MLX and its backends, the chip they run on, and the memory they take."""
