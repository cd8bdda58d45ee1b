"""The networks, one file each; no input or output."""

from flux2 import mlx_backend as mlx_backend  # before any of them imports MLX: see there
