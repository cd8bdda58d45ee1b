"""Files to named tensors: the layout of a checkpoint, validated lazy reading, download."""
