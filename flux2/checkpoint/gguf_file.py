"""Tensors of a GGUF file: plain ones as any other file's, blocks of codes and scales decoded as llama.cpp does.

Never by `mx.load`: it gives every second group of Q4_K another group's scale, bfloat16 as float16, and knows few types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from flux2.backend.mlx import mx
from flux2.checkpoint.gguf_header import read_gguf_header
from flux2.checkpoint.safetensors_file import TensorInfo
from flux2.checkpoint.stored import Encoding, StoredTensor

READ_TYPES = (
    *("Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K", "Q5_1", "Q5_0", "Q4_1", "Q4_0"),
    *("IQ4_XS", "IQ4_NL", "IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_S", "IQ1_M", "MXFP4"),
)
"""Types of blocks that are read."""


def read_gguf(path: Path) -> dict[str, TensorInfo]:
    """Every tensor of the file, by name; of blocks the type is ggml's, and the shape that of the numbers.

    Raises:
        CheckpointError: one sentence naming the file, what is wrong with it, and the remedy.
    """
    return {
        name: TensorInfo(name, path, tensor.type, tensor.shape, tensor.offset, tensor.nbytes)
        for name, tensor in read_gguf_header(path).tensors.items()
    }


def stored_blocks(info: TensorInfo) -> StoredTensor:
    """A tensor of one of `READ_TYPES`: rows of bytes, [outputs, bytes], that become bfloat16."""
    row_bytes = read_gguf_header(info.path).tensors[info.name].row_bytes
    part = replace(info, dtype="U8", shape=(*info.shape[:-1], row_bytes))
    return StoredTensor(info.name, info.shape, (part,), Encoding("BF16", _decoder(info.dtype)))


def is_blocks(info: TensorInfo) -> bool:
    """Whether a tensor is one of `READ_TYPES`."""
    return info.dtype in READ_TYPES


def _decoder(type_name: str) -> Callable[[mx.array], mx.array]:
    def decode(blocks: mx.array) -> mx.array:
        from gguf.constants import GGMLQuantizationType
        from gguf.quants import dequantize

        return mx.array(dequantize(np.asarray(blocks), GGMLQuantizationType[type_name])).astype(mx.bfloat16)

    return decode
