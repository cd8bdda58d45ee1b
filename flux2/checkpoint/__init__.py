"""Files to named tensors: the layout of a checkpoint, and validated reading, one tensor at a time."""
