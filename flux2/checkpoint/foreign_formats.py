"""Weights in formats of other programs that are not read: known by their config or by the names of their tensors.

What is read stands in `flux2.checkpoint.encodings`. What helps is the model's own files in 16 bits, which are quantized
while loading.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from flux2.errors import CheckpointError
from flux2.humanize import printable

_BY_METHOD = {
    "bitsandbytes": "quantized by bitsandbytes",
    "sdnq": "quantized by SDNQ (SD.Next)",
    "torchao": "quantized by torchao",
    "gguf": "quantized as GGUF",
    "quanto": "quantized by Quanto",
    "modelopt": "quantized by NVIDIA's ModelOpt",
    "nvfp4": "quantized to NVFP4",
    "fp8": "quantized to 8-bit floating point",
    "compressed-tensors": "quantized by llm-compressor",
    "awq": "quantized by AWQ",
    "gptq": "quantized by GPTQ",
    "hqq": "quantized by HQQ",
    "svdquant": "quantized by Nunchaku (SVDQuant)",
}
"""Formats by `quant_method` of a config's `quantization_config`."""

_BFLOAT16 = (
    "use the model's own bfloat16 files, which flux2 quantizes while loading (--transformer-quant int4), or GGUF or "
    "fp8 ones"
)
_LORA = "name the model that it was made for"
_SINGLE = "name the file itself: --model FILE"

_NEVER_READ = (
    (".quant_state.bitsandbytes__nf4", "quantized by bitsandbytes (nf4)", _BFLOAT16),
    (".quant_state.bitsandbytes__fp4", "quantized by bitsandbytes (fp4)", _BFLOAT16),
    (".absmax", "quantized by bitsandbytes", _BFLOAT16),
    (".nested_absmax", "quantized by bitsandbytes", _BFLOAT16),
    (".quant_map", "quantized by bitsandbytes", _BFLOAT16),
    (".SCB", "quantized by bitsandbytes (int8)", _BFLOAT16),
    (".svd_up", "quantized by SDNQ (SD.Next)", _BFLOAT16),
    (".zero_point", "quantized by SDNQ (SD.Next)", _BFLOAT16),
    (".wscales", "quantized by Nunchaku (SVDQuant)", _BFLOAT16),
    (".qzeros", "quantized by GPTQ or AWQ", _BFLOAT16),
    (".weight_packed", "quantized by llm-compressor", _BFLOAT16),
    (".weight_scale_2", "quantized to NVFP4", _BFLOAT16),
    (".weight_scale_inv", "quantized to scaled 8-bit floating point", _BFLOAT16),
    (".awq_", "quantized by AWQ", _BFLOAT16),
    (".weight_s_rel", "quantized to 4 bits with ConvRot", _BFLOAT16),
    (".weight_codebook", "quantized to 4 bits with ConvRot", _BFLOAT16),
    (".lora_", "a LoRA and no model by itself", _LORA),
    (".lokr_", "a LoRA and no model by itself", _LORA),
    (".hada_", "a LoRA and no model by itself", _LORA),
)
"""Part of a tensor's name that nothing else has than a format that is never read, what it says of the weights, and what
helps; the first that is found."""

_LEFT_OVER = (
    *_NEVER_READ,
    (".comfy_quant", "quantized for ComfyUI", _BFLOAT16),
    (".scale_weight", "quantized to scaled 8-bit floating point", _BFLOAT16),
    (".weight_scale", "quantized to scaled 8-bit floating point", _BFLOAT16),
    ("._data", "quantized by Quanto in another layout than int8 with a scale per row", _BFLOAT16),
    (".scales", "quantized by MLX (mflux or mlx-lm)", _BFLOAT16),
    ("double_blocks.0.", "in the layout of single files", _SINGLE),
    ("diffusion_model.", "in the layout of single files", _SINGLE),
    (".scale", "quantized by SDNQ (SD.Next)", _BFLOAT16),
)
"""What is looked for in the names of tensors that are left over once all that is read was taken."""

_BY_TYPE = {
    "U32": "quantized by MLX (mflux or mlx-lm)",
}
"""Formats by the type of a tensor that should be of 16 or 32 bits, as the file names it."""


def refuse_foreign(place: Path, config: Mapping[str, Any], names: Collection[str]) -> None:
    """Raises CheckpointError if the names of a part's tensors tell a format that is never read; it says whose."""
    never = [name for name in names if any(part in name for part, _, _ in _NEVER_READ)]
    if never:
        raise CheckpointError(foreign_format(place, config, never))


def foreign_format(
    place: Path, config: Mapping[str, Any], strange: Collection[str] = (), types: Collection[str] = ()
) -> str:
    """One sentence on whose format the weights of a part are in, and what to use instead; "" where that is unknown.

    Args:
        place: folder of the part, or its file.
        config: what its config.json says.
        strange: names of tensors that the network does not have.
        types: types of those that it has.
    """
    named = next(((what, remedy) for part, what, remedy in _LEFT_OVER if any(part in name for name in strange)), None)
    if said := _by_config(config):
        what, remedy = f"{said}, as its config.json says", _BFLOAT16
    elif named:
        what, remedy = named
    elif kind := next((_BY_TYPE[dtype] for dtype in types if dtype in _BY_TYPE), ""):
        what, remedy = kind, _BFLOAT16
    else:
        return ""
    return f"The weights in {place} are {what}, which is not read here; {remedy}."


def _by_config(config: Mapping[str, Any]) -> str:
    """What a config says of the weights; "" where it says nothing."""
    quantization = config.get("quantization_config")
    if isinstance(quantization, Mapping):
        method = str(quantization.get("quant_method") or quantization.get("quant_type") or "").lower()
        method = method.rpartition(".")[2]  # some write the name of an enumeration: QuantizationMethod.TORCHAO
        known = (text for name, text in _BY_METHOD.items() if method.startswith(name))
        return next(known, f"quantized by {printable(method[:40]) or 'another program'}")
    mlx = config.get("quantization")
    return "quantized by MLX (mflux or mlx-lm)" if isinstance(mlx, Mapping) and "bits" in mlx else ""
