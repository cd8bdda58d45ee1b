"""Files to named tensors: the layout of a checkpoint, validated reading one tensor at a time, download."""
