"""Single files of weights give the numbers that they stand for: bit by bit, or as their own tools decode them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import pytest
from mlx.utils import tree_flatten

from flux2.backend.mlx import mx, nn
from flux2.checkpoint.encodings import decodable
from flux2.checkpoint.gguf_file import READ_TYPES, read_gguf
from flux2.checkpoint.layout import Component
from flux2.checkpoint.loading import load_weights, plan_weights
from flux2.checkpoint.networks import TRANSFORMER, VAE_DECODER, VAE_ENCODER, NetworkKind, NetworkSource
from flux2.checkpoint.safetensors_file import read_header
from flux2.paths import pocket_checkpoint
from flux2.quantization.linear import MODES
from flux2.store.resolved import resolve_model
from tests.unit.checkpoints import sparse_safetensors
from tests.unit.single_files import (
    RECORDINGS,
    Weights,
    behind,
    bfl_autoencoder,
    bfl_transformer,
    comfy_quant,
    plain,
    save,
    save_gguf,
    save_typed,
    tensors_of,
)

COMFY = "model.diffusion_model."
DISTILLED = RECORDINGS / "distilled" / "checkpoint"
Typed = dict[str, tuple[str, npt.NDArray[Any]]]


@pytest.fixture(autouse=True)
def _small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flux2.checkpoint.stored._BAND_NUMBERS", 1 << 14)


def loaded(model: Path, kind: NetworkKind = TRANSFORMER, **others: str) -> Weights:
    """A network's parameters, of a model named so."""
    source = NetworkSource.check(resolve_model(str(model), **others).checkpoint, kind)
    return dict(tree_flatten(source.load(mx.float32).parameters()))


def same(found: Mapping[str, mx.array], expected: Mapping[str, mx.array]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and mx.array_equal(found[name], tensor, equal_nan=True), name


def with_scale_as_weight(weights: Weights) -> Weights:
    return {name.replace("_norm.scale", "_norm.weight"): tensor for name, tensor in weights.items()}


LAYOUTS: dict[str, Callable[[Weights], Weights]] = {
    "BFL": bfl_transformer,
    "ComfyUI": lambda weights: behind(COMFY, bfl_transformer(weights)),
    "norms called weights": lambda weights: with_scale_as_weight(bfl_transformer(weights)),
    "diffusers": dict,
    "diffusers behind a prefix": lambda weights: behind(COMFY, weights),
    "all in one": lambda weights: (
        behind(COMFY, bfl_transformer(weights)) | {"vae.decoder.conv_in.weight": mx.zeros((4, 4, 3, 3))}
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("checkpoint", ["dev", "distilled", "base"])
def test_a_transformer_is_the_same_bit_by_bit(tmp_path: Path, checkpoint: str, layout: str) -> None:
    folder = RECORDINGS / checkpoint / "checkpoint"
    file = save(tmp_path / "any.safetensors", LAYOUTS[layout](tensors_of(folder)))
    same(loaded(file, base=str(folder)), loaded(folder))


@pytest.mark.parametrize("kind", [VAE_DECODER, VAE_ENCODER], ids=["decoder", "encoder"])
@pytest.mark.parametrize("layout", ["BFL", "diffusers", "behind a prefix"])
@pytest.mark.parametrize("checkpoint", ["distilled", "base"])
def test_an_autoencoder_is_the_same_bit_by_bit(tmp_path: Path, checkpoint: str, layout: str, kind: NetworkKind) -> None:
    folder = RECORDINGS / checkpoint / "checkpoint"
    weights = tensors_of(folder, "vae")
    weights = weights if layout == "diffusers" else bfl_autoencoder(weights)
    file = save(tmp_path / "vae.safetensors", behind("vae." if layout == "behind a prefix" else "", weights))
    same(loaded(folder, kind, vae=str(file)), loaded(folder, kind))


# --- 8 bits -----------------------------------------------------------------------------------------------------------


def e4m3(code: int) -> float:
    exponent, mantissa = code >> 3 & 15, code & 7
    size = mantissa / 8 * 2**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return (-size if code & 128 else size) if (exponent, mantissa) != (15, 7) else np.nan


def e5m2(code: int) -> float:
    return float(np.array([code << 8], np.uint16).view(np.float16)[0])


E4M3, E5M2 = (np.array([number(code) for code in range(256)], np.float32) for number in (e4m3, e5m2))


def codes(shape: tuple[int, ...], seed: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def eight_bits(
    table: npt.NDArray[np.float32], dtype: str, **beside: Callable[[int], tuple[str, npt.NDArray[Any]]]
) -> Callable[[Weights], tuple[Typed, Weights]]:
    """What writes every matrix of the blocks as these codes, and what they mean."""

    def write(weights: Weights) -> tuple[Typed, Weights]:
        stored: Typed = {}
        meant: Weights = {}
        for number, (name, tensor) in enumerate(bfl_transformer(weights).items()):
            meant[name], stored[name] = tensor, plain(tensor)
            if tensor.ndim != 2 or "blocks" not in name:
                continue
            found, layer = codes(tensor.shape, number), name.removesuffix(".weight")
            extra = {end: made(tensor.shape[0]) for end, made in beside.items()}
            stored |= {name: (dtype, found)} | {f"{layer}.{end}": value for end, value in extra.items()}
            scale = next((value for end, (_, value) in extra.items() if end in ("weight_scale", "scale_weight")), 1.0)
            numbers = table[found] * np.reshape(np.asarray(scale, np.float32), (-1, 1))
            meant[name] = mx.array(numbers).astype(mx.bfloat16)
        return stored, meant

    return write


def one_scale(_: int) -> tuple[str, npt.NDArray[Any]]:
    return "F32", np.array(0.0123, np.float32)


def scale_per_row(rows: int) -> tuple[str, npt.NDArray[Any]]:
    return "F32", np.linspace(0.001, 0.02, rows, dtype=np.float32)[:, None]


INT8 = np.concatenate([np.arange(128), np.arange(-128, 0)]).astype(np.float32)
EIGHT_BITS = {
    "fp8": eight_bits(E4M3, "F8_E4M3"),
    "fp8 of the other kind": eight_bits(E5M2, "F8_E5M2"),
    "fp8, old scaled": eight_bits(E4M3, "F8_E4M3", scale_weight=one_scale, scale_input=one_scale),
    "fp8, new scaled": eight_bits(
        E4M3,
        "F8_E4M3",
        weight_scale=one_scale,
        input_scale=one_scale,
        comfy_quant=lambda _: comfy_quant(format="float8_e4m3fn"),
    ),
    "fp8, a scale per row": eight_bits(E4M3, "F8_E4M3", weight_scale=scale_per_row),
    "fp8, a flat scale per row": eight_bits(
        E4M3, "F8_E4M3", weight_scale=lambda rows: ("F32", scale_per_row(rows)[1].reshape(-1))
    ),
    "fp8 kept as bytes": eight_bits(
        E5M2, "U8", weight_scale=one_scale, comfy_quant=lambda _: comfy_quant(format="float8_e5m2")
    ),
    "int8": eight_bits(INT8, "I8", weight_scale=one_scale, comfy_quant=lambda _: comfy_quant(format="int8_tensorwise")),
}


@pytest.mark.parametrize("kind", EIGHT_BITS)
def test_8_bits_are_what_they_stand_for(tmp_path: Path, kind: str) -> None:
    stored, meant = EIGHT_BITS[kind](tensors_of(DISTILLED))
    if "old" in kind:
        stored["scaled_fp8"] = ("F8_E4M3", np.zeros(2, np.uint8))
    file = save_typed(tmp_path / "any.safetensors", {COMFY + name: value for name, value in stored.items()})
    expected = save(tmp_path / "meant.safetensors", meant)
    same(loaded(file, base=str(DISTILLED)), loaded(expected, base=str(DISTILLED)))


def test_a_format_may_be_told_in_the_metadata(tmp_path: Path) -> None:
    stored, meant = eight_bits(E5M2, "U8", weight_scale=one_scale)(tensors_of(DISTILLED))
    coded = [name.removesuffix(".weight") for name, (dtype, _) in stored.items() if dtype == "U8"]
    layers = {layer: {"format": "float8_e5m2"} for layer in coded}
    metadata = {"_quantization_metadata": json.dumps({"layers": layers})}
    file = save_typed(tmp_path / "any.safetensors", stored, metadata)
    expected = save(tmp_path / "meant.safetensors", meant)
    same(loaded(file, base=str(DISTILLED)), loaded(expected, base=str(DISTILLED)))


# --- GGUF -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*READ_TYPES, "F32", "F16", "BF16"])
def test_gguf_is_what_its_package_decodes(tmp_path: Path, kind: str) -> None:
    """Blocks of any bytes, one after the other, however many are decoded at a time."""
    chosen = gguf.GGMLQuantizationType[kind]
    blocks = codes(gguf.quants.quant_shape_to_byte_shape((64, 1024), chosen), 1)
    writer = gguf.GGUFWriter(tmp_path / "any.gguf", "flux")
    writer.add_tensor("some.weight", blocks, raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = decodable(read_gguf(tmp_path / "any.gguf"))["some.weight"]
    with np.errstate(all="ignore"):
        expected = mx.array(gguf.quants.dequantize(blocks, chosen))
        numbers = found.read()
    exact = kind in ("F32", "F16", "BF16")
    assert found.shape == (64, 1024)
    wanted = expected if exact else expected.astype(mx.bfloat16)
    assert mx.array_equal(numbers.astype(mx.float32), wanted.astype(mx.float32), equal_nan=True)


def test_a_gguf_file_of_several_types(tmp_path: Path) -> None:
    """Thirds of a matrix and the halves that change places are rows of blocks, too."""
    weights = bfl_transformer(tensors_of(pocket_checkpoint()))
    file = save_gguf(tmp_path / "pocket.gguf", weights, "Q8_0", lambda _: True)
    q8 = gguf.GGMLQuantizationType.Q8_0
    meant = {
        name: mx.array(
            gguf.quants.dequantize(gguf.quants.quantize(np.array(tensor.astype(mx.float32)), q8), q8)
        ).astype(mx.bfloat16)
        if tensor.ndim == 2
        else tensor.astype(mx.float32)
        for name, tensor in weights.items()
    }
    same(loaded(file), loaded(save(tmp_path / "meant.safetensors", meant)))


def test_a_file_of_q4_k_is_near_what_it_was_made_of(tmp_path: Path) -> None:
    """Its groups have scales of their own: MLX's reader gives every second one another's."""
    weights = bfl_transformer(tensors_of(pocket_checkpoint()))
    name = "single_blocks.0.linear2.weight"
    found = loaded(save_gguf(tmp_path / "pocket.gguf", weights, "Q4_K", lambda other: other == name))
    numbers, meant = (
        np.array(tensor.astype(mx.float32))
        for tensor in (found["single_transformer_blocks.0.attn.to_out.weight"], weights[name])
    )
    assert np.sqrt(np.mean((numbers - meant) ** 2)) < 0.09 * meant.std()


# --- memory -----------------------------------------------------------------------------------------------------------

MIB = 2**20


class Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [nn.Linear(2048, 2048, bias=False) for _ in range(6)]


def wide_fp8(path: Path) -> Component:
    shapes = {f"blocks.{number}.weight": (2048, 2048) for number in range(6)}
    sparse_safetensors(path, shapes, "F8_E4M3")
    return Component(path, {}, "Wide", read_header(path))


def wide_gguf(path: Path) -> Component:
    writer = gguf.GGUFWriter(path, "flux")
    blocks = np.zeros((2048, 2048 // 32 * 34), np.uint8)
    for number in range(6):
        writer.add_tensor(f"blocks.{number}.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return Component(path, {}, "Wide", read_gguf(path))


@pytest.mark.parametrize("make", [wide_fp8, wide_gguf])
def test_no_more_than_one_tensor_is_held_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Component]
) -> None:
    monkeypatch.setattr("flux2.checkpoint.stored._BAND_NUMBERS", 1 << 18)
    network = Wide()
    plan = plan_weights(network, make(tmp_path / "any"))
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    load_weights(network, plan, dtype=mx.bfloat16, quantization=MODES["int4"])
    finished = mx.get_active_memory() - before
    coded, decoded, bands = plan.tensors[0].nbytes, 8 * MIB, 4 * MIB
    assert mx.get_peak_memory() - before <= finished + 2 * coded + decoded + bands < 6 * decoded
