"""Weights that files hold as codes and scales, known by names and types: each as one tensor that can be decoded.

Quanto     X.weight._data int8 [outputs, inputs], X.weight._scale [outputs, 1]; X.input_scale, X.output_scale
fp8        X.weight E4M3 or E5M2, and perhaps a scale for all of it or for each row: X.weight_scale, or, in ComfyUI's
           older files, X.scale_weight and one marker `scaled_fp8`; X.input_scale, X.scale_input
int8       X.weight int8 and X.weight_scale, where ComfyUI calls it int8_tensorwise and does not rotate it
MLX        X.weight uint32, X.scales, X.biases: affine groups of any number of bits (mflux)
GGUF       blocks, `flux2.checkpoint.gguf_file`

ComfyUI says a layer's format in JSON, in a tensor X.comfy_quant or in the file's metadata. Scales of inputs are for
quantized activations and not needed here. Every product is rounded once, to bfloat16 where the scale is float32.
https://github.com/huggingface/optimum-quanto, https://github.com/comfyanonymous/ComfyUI/blob/master/QUANTIZATION.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from flux2.backend.mlx import mx
from flux2.checkpoint.comfy_formats import LayerFormats
from flux2.checkpoint.gguf_file import is_blocks, stored_blocks
from flux2.checkpoint.safetensors_file import TensorInfo
from flux2.checkpoint.stored import Encoding, StoredTensor
from flux2.errors import CheckpointError

_DATA, _SCALE = "._data", "._scale"
_FLOATS = ("F32", "F16", "BF16")
_FP8 = ("F8_E4M3", "F8_E5M2")
_SCALES = ("weight_scale", "scale_weight")
_UNUSED = ("input_scale", "output_scale", "scale_input", "comfy_quant")
_FP8_MARKER = "scaled_fp8"
_GROUP = 64
_BITS = (8, 6, 5, 4, 3, 2)


def decodable(tensors: Mapping[str, TensorInfo]) -> dict[str, StoredTensor]:
    """All tensors of some files under the names of what they stand for; what belongs to none of these is left plain.

    Raises:
        CheckpointError: if a weight is of one of these kinds, and in a form that is not read.
    """
    left = {name: info for name, info in tensors.items() if name.rpartition(".")[2] != _FP8_MARKER}
    formats = LayerFormats(tensors)
    found: dict[str, StoredTensor] = {}
    for name, info in tensors.items():
        stored = _encoded(name, info, tensors, formats)
        if stored is None:
            continue
        found[stored.name] = stored
        layer = stored.name.rpartition(".")[0]
        for taken in (name, *(part.name for part in stored.parts), *(f"{layer}.{extra}" for extra in _UNUSED)):
            left.pop(taken, None)
    return {name: StoredTensor.plain(info) for name, info in left.items()} | found


def _encoded(
    name: str, info: TensorInfo, tensors: Mapping[str, TensorInfo], formats: LayerFormats
) -> StoredTensor | None:
    """The tensor that this one holds the codes of; None for one that holds numbers, or is of another."""
    layer, _, last = name.rpartition(".")
    if is_blocks(info):
        return stored_blocks(info)
    if name.endswith(_DATA):
        return _quanto(name.removesuffix(_DATA), info, tensors)
    if last != "weight":
        return None
    if info.dtype == "U32" and f"{layer}.scales" in tensors and f"{layer}.biases" in tensors:
        return _affine(name, info, tensors[f"{layer}.scales"], tensors[f"{layer}.biases"])
    dtype = formats.dtype(layer, info)
    scale = next((tensors[f"{layer}.{end}"] for end in _SCALES if f"{layer}.{end}" in tensors), None)
    if dtype in _FP8 or (dtype == "I8" and scale):
        return _scaled(name, replace(info, dtype=dtype), scale)
    return None


def _quanto(name: str, data: TensorInfo, tensors: Mapping[str, TensorInfo]) -> StoredTensor:
    scale = tensors.get(name + _SCALE)
    if data.dtype != "I8" or len(data.shape) != 2 or scale is None or scale.shape != (data.shape[0], 1):
        raise CheckpointError(
            f"{data.path}: tensor {data.name} is {data.dtype} {list(data.shape)} and not an int8 matrix with a scale "
            "per row, the one layout of Quanto's that is read; use a qint8 or bfloat16 checkpoint."
        )
    encoding = Encoding(scale.dtype, lambda data, scale: data.astype(scale.dtype) * scale)
    return StoredTensor(name, data.shape, (data, scale), encoding)


def _scaled(name: str, codes: TensorInfo, scale: TensorInfo | None) -> StoredTensor:
    """Codes of 8 bits, with one scale, one per row, or none."""
    fits = scale is None or (scale.dtype in _FLOATS and _is_whole_or_per_row(scale.shape, codes.shape))
    if not fits:
        assert scale
        raise CheckpointError(
            f"{codes.path}: tensor {scale.name} is {scale.dtype} {list(scale.shape)}, where a scale for all of {name} "
            "or for each of its rows is read; use the model's own bfloat16 or fp8 file, or a GGUF one."
        )
    unpack, stored = _UNPACK[codes.dtype]
    parts = (replace(codes, dtype=stored), *([scale] if scale else []))

    def decode(codes: mx.array, scale: mx.array | None = None) -> mx.array:
        numbers = unpack(codes)
        if scale is not None:
            numbers = numbers * scale.astype(mx.float32).reshape(-1, *[1] * (codes.ndim - 1))
        return numbers.astype(mx.bfloat16)

    return StoredTensor(name, codes.shape, parts, Encoding("BF16", decode))


def _is_whole_or_per_row(scale: tuple[int, ...], codes: tuple[int, ...]) -> bool:
    return scale in ((), (1,), (1, 1)) or (len(codes) == 2 and scale in ((codes[0],), (codes[0], 1)))


def _affine(name: str, codes: TensorInfo, scales: TensorInfo, biases: TensorInfo) -> StoredTensor:
    """Groups of MLX's, of `_GROUP` numbers: their bits follow from the shapes."""
    rows, groups = scales.shape if len(scales.shape) == 2 else (0, 0)
    bits = next((bits for bits in _BITS if codes.shape == (rows, groups * _GROUP * bits // 32)), 0)
    if not groups or not bits or biases.shape != scales.shape:
        raise CheckpointError(
            f"{codes.path}: tensor {name} is U32 {list(codes.shape)} with scales {list(scales.shape)}, no affine "
            f"quantization in groups of {_GROUP}, the one of MLX's that is read; use the model's own bfloat16 files."
        )
    encoding = Encoding(
        scales.dtype,
        lambda codes, scales, biases: mx.dequantize(codes, scales, biases, group_size=_GROUP, bits=bits),
        affine_bits=bits,
    )
    return StoredTensor(name, (rows, groups * _GROUP), (codes, scales, biases), encoding)


def _from_e5m2(codes: mx.array) -> mx.array:
    """The upper byte of a float16."""
    return (codes.astype(mx.uint16) << 8).view(mx.float16).astype(mx.float32)


_UNPACK: dict[str, tuple[Callable[[mx.array], mx.array], str]] = {
    "F8_E4M3": (lambda codes: mx.from_fp8(codes, mx.float32), "U8"),
    "F8_E5M2": (_from_e5m2, "U8"),
    "I8": (lambda codes: codes.astype(mx.float32), "I8"),
}
"""Numbers from codes of 8 bits, and the type that they are read as, by the type that they are."""
