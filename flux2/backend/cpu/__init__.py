"""What MLX's CPU backend does slowly or not at all; nothing here is used on a GPU."""
