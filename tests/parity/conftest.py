"""Float32 means float32 here: MLX would otherwise multiply in TF32 on CUDA and on Apple's M5 (a relative error of 3e-4).

MLX reads the variable once, at its first operation, so it is set before anything imports the engine.
https://github.com/ml-explore/mlx/issues/3860
"""

from __future__ import annotations

import os

os.environ["MLX_ENABLE_TF32"] = "0"
