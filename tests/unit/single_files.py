"""Single files of weights as others write them, made of a checkpoint in the diffusers layout."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from flux2.architecture.published import ARCHITECTURES
from flux2.backend.mlx import mx
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.safetensors_file import dtype_name, read_tensor
from tests.unit.checkpoints import sparse_safetensors, write_raw

Weights = dict[str, mx.array]
RECORDINGS = Path(__file__).parents[1] / "parity" / "recordings"

# What BFL calls them, by what diffusers does: of the first that matches. The thirds of qkv are put together below.
_TRANSFORMER = (
    (r"^x_embedder\.", "img_in."),
    (r"^context_embedder\.", "txt_in."),
    (r"^time_guidance_embed\.timestep_embedder\.linear_1", "time_in.in_layer"),
    (r"^time_guidance_embed\.timestep_embedder\.linear_2", "time_in.out_layer"),
    (r"^time_guidance_embed\.guidance_embedder\.linear_1", "guidance_in.in_layer"),
    (r"^time_guidance_embed\.guidance_embedder\.linear_2", "guidance_in.out_layer"),
    (r"_modulation(_img|_txt)?\.linear\.", r"_modulation\1.lin."),
    (r"^norm_out\.linear\.", "final_layer.adaLN_modulation.1."),
    (r"^proj_out\.", "final_layer.linear."),
    (r"^transformer_blocks\.(\d+)\.attn\.to_out\.0\.", r"double_blocks.\1.img_attn.proj."),
    (r"^transformer_blocks\.(\d+)\.attn\.to_add_out\.", r"double_blocks.\1.txt_attn.proj."),
    (r"^transformer_blocks\.(\d+)\.attn\.norm_q\.weight", r"double_blocks.\1.img_attn.norm.query_norm.scale"),
    (r"^transformer_blocks\.(\d+)\.attn\.norm_k\.weight", r"double_blocks.\1.img_attn.norm.key_norm.scale"),
    (r"^transformer_blocks\.(\d+)\.attn\.norm_added_q\.weight", r"double_blocks.\1.txt_attn.norm.query_norm.scale"),
    (r"^transformer_blocks\.(\d+)\.attn\.norm_added_k\.weight", r"double_blocks.\1.txt_attn.norm.key_norm.scale"),
    (r"^transformer_blocks\.(\d+)\.ff\.linear_in\.", r"double_blocks.\1.img_mlp.0."),
    (r"^transformer_blocks\.(\d+)\.ff\.linear_out\.", r"double_blocks.\1.img_mlp.2."),
    (r"^transformer_blocks\.(\d+)\.ff_context\.linear_in\.", r"double_blocks.\1.txt_mlp.0."),
    (r"^transformer_blocks\.(\d+)\.ff_context\.linear_out\.", r"double_blocks.\1.txt_mlp.2."),
    (r"^single_transformer_blocks\.(\d+)\.attn\.to_qkv_mlp_proj\.", r"single_blocks.\1.linear1."),
    (r"^single_transformer_blocks\.(\d+)\.attn\.to_out\.", r"single_blocks.\1.linear2."),
    (r"^single_transformer_blocks\.(\d+)\.attn\.norm_q\.weight", r"single_blocks.\1.norm.query_norm.scale"),
    (r"^single_transformer_blocks\.(\d+)\.attn\.norm_k\.weight", r"single_blocks.\1.norm.key_norm.scale"),
)
_QKV = {
    "img_attn": ("to_q", "to_k", "to_v"),
    "txt_attn": ("add_q_proj", "add_k_proj", "add_v_proj"),
}
_AUTOENCODER = (
    (r"^quant_conv", "encoder.quant_conv"),
    (r"^post_quant_conv", "decoder.post_quant_conv"),
    (r"conv_norm_out", "norm_out"),
    (r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block."),
    (r"down_blocks\.(\d+)\.downsamplers\.0\.", r"down.\1.downsample."),
    (r"up_blocks\.(\d+)\.resnets\.", r"up.<\1>.block."),
    (r"up_blocks\.(\d+)\.upsamplers\.0\.", r"up.<\1>.upsample."),
    (r"mid_block\.resnets\.0\.", "mid.block_1."),
    (r"mid_block\.resnets\.1\.", "mid.block_2."),
    (r"mid_block\.attentions\.0\.group_norm\.", "mid.attn_1.norm."),
    (r"mid_block\.attentions\.0\.to_out\.0\.", "mid.attn_1.proj_out."),
    (r"mid_block\.attentions\.0\.to_([qkv])\.", r"mid.attn_1.\1."),
    (r"conv_shortcut", "nin_shortcut"),
)


def tensors_of(checkpoint: Path, part: str = "transformer") -> Weights:
    """The tensors of a part by name."""
    component = getattr(open_checkpoint(checkpoint), part)
    return {name: read_tensor(info) for name, info in component.tensors.items()}


def bfl_transformer(weights: Mapping[str, mx.array]) -> Weights:
    """A transformer's tensors as BFL writes them."""
    found: Weights = {}
    fused: dict[str, list[tuple[int, mx.array]]] = {}
    for name, tensor in weights.items():
        match = re.match(r"^transformer_blocks\.(\d+)\.attn\.(\w+)\.weight", name)
        stream = next((stream for stream, three in _QKV.items() if match and match[2] in three), "")
        if match and stream:
            fused.setdefault(f"double_blocks.{match[1]}.{stream}.qkv.weight", []).append(
                (_QKV[stream].index(match[2]), tensor)
            )
            continue
        if name == "norm_out.linear.weight":
            scale, shift = mx.split(tensor, 2)
            tensor = mx.concatenate([shift, scale])
        found[_renamed(name, _TRANSFORMER)] = tensor
    for name, three in fused.items():
        found[name] = mx.concatenate([tensor for _, tensor in sorted(three, key=lambda pair: pair[0])])
    return found


def bfl_autoencoder(weights: Mapping[str, mx.array]) -> Weights:
    """An autoencoder's tensors as BFL writes them: the decoder's levels backwards, attention as convolutions."""
    levels = 1 + max(int(match[1]) for name in weights if (match := re.search(r"up_blocks\.(\d+)", name)))
    found = {}
    for name, tensor in weights.items():
        for old, new in _AUTOENCODER:
            name = re.sub(old, new, name)
        name = re.sub(r"<(\d+)>", lambda match: str(levels - 1 - int(match[1])), name)
        found[name] = tensor[..., None, None] if "attn_1" in name and tensor.ndim == 2 else tensor
    return found


def _renamed(name: str, table: tuple[tuple[str, str], ...]) -> str:
    return next((re.sub(old, new, name) for old, new in table if re.search(old, name)), name)


def behind(prefix: str, weights: Mapping[str, mx.array]) -> Weights:
    return {prefix + name: tensor for name, tensor in weights.items()}


def save(path: Path, weights: Mapping[str, mx.array], metadata: dict[str, str] | None = None) -> Path:
    mx.save_safetensors(str(path), dict(weights), metadata)
    return path


def save_typed(
    path: Path, tensors: Mapping[str, tuple[str, npt.NDArray[Any]]], metadata: dict[str, str] | None = None
) -> Path:
    """A file of tensors whose types NumPy does not know, by the format's names of them."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, (dtype, array) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    write_raw(path, header, data)
    return path


def plain(tensor: mx.array) -> tuple[str, npt.NDArray[Any]]:
    """A tensor as it is, for `save_typed`."""
    array = tensor.view(mx.uint16) if tensor.dtype == mx.bfloat16 else tensor
    return dtype_name(tensor.dtype), np.array(array)


def save_gguf(path: Path, weights: Mapping[str, mx.array], kind: str, choose: Callable[[str], bool]) -> Path:
    """A GGUF file: matrices of these names as blocks of this type, others as bfloat16, vectors as float32."""
    writer = gguf.GGUFWriter(path, "flux")
    for name, tensor in weights.items():
        numbers = np.array(tensor.astype(mx.float32))
        blocks, _ = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
        quantized = tensor.ndim == 2 and choose(name) and tensor.shape[-1] % blocks == 0
        chosen = gguf.GGMLQuantizationType["F32" if tensor.ndim == 1 else kind if quantized else "BF16"]
        data = quantize_q4_k(numbers) if chosen.name == "Q4_K" else gguf.quants.quantize(numbers, chosen)
        writer.add_tensor(name, data, raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def quantize_q4_k(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Blocks of 256: eight groups with scales and minima of 6 bits (the package reads this type and writes it not)."""
    rows, inputs = numbers.shape
    groups = numbers.reshape(-1, 8, 32)
    low = np.maximum(0, -groups.min(axis=2))
    steps = (groups.max(axis=2) + low) / 15
    d, dmin = steps.max(axis=1) / 63, low.max(axis=1) / 63
    scale = np.rint(steps / np.maximum(d, 1e-12)[:, None]).astype(np.uint8)
    minimum = np.rint(low / np.maximum(dmin, 1e-12)[:, None]).astype(np.uint8)
    step, offset = scale * d[:, None], minimum * dmin[:, None]
    codes = np.clip(np.rint((groups + offset[..., None]) / np.maximum(step, 1e-12)[..., None]), 0, 15).astype(np.uint8)
    packed = np.zeros((len(groups), 12), np.uint8)
    packed[:, 0:4] = scale[:, :4] & 63 | (scale[:, 4:] >> 4) << 6
    packed[:, 4:8] = minimum[:, :4] & 63 | (minimum[:, 4:] >> 4) << 6
    packed[:, 8:12] = scale[:, 4:] & 15 | (minimum[:, 4:] & 15) << 4
    nibbles = codes[:, 0::2] | codes[:, 1::2] << 4
    halves = np.stack([d, dmin], axis=1).astype(np.float16).view(np.uint8)
    return np.concatenate([halves, packed, nibbles.reshape(-1, 128)], axis=1).reshape(rows, inputs // 256 * 144)


def comfy_quant(**said: object) -> tuple[str, npt.NDArray[np.uint8]]:
    """The tensor in which ComfyUI says a layer's format."""
    return "U8", np.frombuffer(json.dumps(said).encode(), np.uint8)


def save_mflux(folder: Path, checkpoint: Path, bits: int | None) -> Path:
    """A folder as mflux saves it: no configs, its own names and shards, every matrix that can be in groups of 64."""
    for part, rename in _MFLUX.items():
        saved: Weights = {}
        for name, tensor in tensors_of(checkpoint, part).items():
            layer, _, last = rename(name).rpartition(".")
            if tensor.ndim == 4:
                saved[f"{layer}.{last}"] = mx.contiguous(tensor.transpose(0, 2, 3, 1))
            elif bits and tensor.ndim == 2 and tensor.shape[1] % 64 == 0:
                parts = zip(("weight", "scales", "biases"), mx.quantize(tensor, group_size=64, bits=bits), strict=True)
                saved |= {f"{layer}.{end}": array for end, array in parts}
            else:
                saved[f"{layer}.{last}"] = tensor
        names = sorted(saved)
        shards = {"0.safetensors": names[::2], "1.safetensors": names[1::2]}
        about = {"quantization_level": str(bits), "mflux_version": "0.24.0"}
        (folder / part).mkdir(parents=True)
        for shard, inside in shards.items():
            save(folder / part / shard, {name: saved[name] for name in inside}, about)
        placed = {name: shard for shard, inside in shards.items() for name in inside}
        index = {"metadata": about, "weight_map": placed}
        (folder / part / "model.safetensors.index.json").write_text(json.dumps(index))
    shutil.copytree(checkpoint / "tokenizer", folder / "tokenizer")
    return folder


_MFLUX: dict[str, Callable[[str], str]] = {
    "transformer": lambda name: (
        re.sub(r"^(transformer_blocks\.\d+\.attn\.to_out)\.0\.", r"\1.", name)
        .replace("time_guidance_embed.timestep_embedder.", "time_guidance_embed.")
        .replace("time_guidance_embed.guidance_embedder.", "time_guidance_embed.guidance_")
    ),
    "vae": lambda name: name.replace("attentions.0.to_out.0.", "attentions.0.to_out."),
    "text_encoder": lambda name: name.removeprefix("model."),
}
"""mflux's name of a tensor, by the part that it is of."""


def transformer_of_zeros(path: Path, model: str) -> Path:
    """A file of this model's size, of holes, under BFL's names."""
    shapes = ARCHITECTURES[model].shapes()["transformer"]
    small = {name: mx.zeros((1, 1)) for name in shapes}
    names = bfl_transformer({name: tensor for name, tensor in small.items() if "norm_out" not in name})
    found = {name: (shapes.get(name) or (1, 1)) for name in names}
    width = shapes["x_embedder.weight"][0]
    found |= {"img_in.weight": (width, 128), "double_blocks.0.img_attn.norm.query_norm.scale": (128,)}
    found |= {"double_blocks.0.img_mlp.0.weight": (6 * width, width)}
    sparse_safetensors(path, found)
    return path
