"""What a run will take, before it begins, and whether that fits."""
