"""The screen: knows the worker only by its client, never imports MLX."""
