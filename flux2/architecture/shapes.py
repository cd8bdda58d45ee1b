"""Names and shapes of a network's tensors: those under which diffusers and transformers save it.

Parts that the engine never reads (the language models' last layers and heads, the vision tower) are among them: they
are in the files.
"""

from __future__ import annotations

import math

Shapes = dict[str, tuple[int, ...]]
"""Shapes by name, in PyTorch's order: a Linear is [outputs, inputs], a convolution [outputs, inputs, height, width]."""


def repeated(prefix: str, count: int, block: Shapes) -> Shapes:
    """The tensors of so many equal blocks, `prefix`.0 and on."""
    return {f"{prefix}.{index}.{name}": shape for index in range(count) for name, shape in block.items()}


def count(shapes: Shapes) -> int:
    """Numbers in all these tensors."""
    return sum(math.prod(shape) for shape in shapes.values())
