"""FLUX.2 image generation on Apple's MLX, quantized on the fly.

>>> from flux2 import Flux2Pipeline
>>> pipe = Flux2Pipeline.from_pretrained("pocket", quantization="int4")
>>> pipe("a red fox in the snow", height=256, width=256, seed=42).images[0].save("fox.png")

Names are imported on first use, so that a program which only wants `flux2.events` (the screen) never loads MLX.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from flux2.environment import drop_nonsense

if TYPE_CHECKING:
    from flux2.errors import Flux2Error as Flux2Error
    from flux2.pipeline import Flux2Pipeline as Flux2Pipeline
    from flux2.pipeline import Flux2PipelineOutput as Flux2PipelineOutput

__version__ = "0.1.0"
"""The one place that states it; pyproject.toml reads it from here."""

complaints = drop_nonsense(os.environ)
"""What of the environment is not used, for it makes no sense; found before any library reads it."""

_HOME_OF = {
    "Flux2Pipeline": "flux2.pipeline",
    "Flux2PipelineOutput": "flux2.pipeline",
    "Flux2Error": "flux2.errors",
}

__all__ = ["Flux2Error", "Flux2Pipeline", "Flux2PipelineOutput"]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        for complaint in complaints:
            warnings.warn(complaint, stacklevel=2)
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'flux2' has no attribute {name!r}")
