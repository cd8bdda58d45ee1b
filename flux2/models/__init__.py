"""The networks, one file each; no input or output."""

import flux2.backend.mlx  # noqa: F401 — before any of them imports MLX: see there
