"""Float32 means float32 here: on CUDA and on Apple's M5 MLX would multiply in TF32 otherwise, 3e-4 off.

MLX reads the variable once, at its first operation, so it is set before anything imports the engine.
https://github.com/ml-explore/mlx/issues/3860
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["MLX_ENABLE_TF32"] = "0"


@pytest.fixture(autouse=True)
def _a_home_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No embeddings, previews or weights that an earlier run of the engine left behind."""
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))
