"""The process that owns MLX, and how to talk to it.

`client` and `protocol` are for the screen and never import MLX; `process` is what `python -m flux2.worker` runs.
"""
