"""What can't be applied as a whole is refused, with what it was made for: never half-applied, never without effect."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.transformer import Flux2TransformerConfig, transformer_shapes
from flux2.backend.mlx import mx
from flux2.errors import CheckpointError, Flux2Error, LoraError
from flux2.lora.fit import FittedLora, fit
from flux2.lora.loading import load_branches
from flux2.lora.lora_file import read_lora_file
from tests.unit.checkpoints import sparse_safetensors
from tests.unit.lora_files import LAYOUTS, Arrays, Changes, LoraContent, pairs, save_lora, some_changes
from tests.unit.test_lora_layouts import CONFIG, SHAPES

Shapes = dict[str, tuple[int, ...]]
KLEIN = Flux2TransformerConfig.from_dict(ARCHITECTURES["klein-4b"].transformer)


def fitted(path: Path, config: Flux2TransformerConfig = CONFIG) -> FittedLora:
    return fit(read_lora_file(path), config, "the model")


def sentence(path: Path, config: Flux2TransformerConfig = CONFIG) -> str:
    with pytest.raises(LoraError) as raised:
        fitted(path, config)
    told = str(raised.value)
    assert told.endswith(".") and "\n" not in told
    return told


def file_of(path: Path, shapes: Shapes) -> Path:
    """A file of zeros with these tensors."""
    sparse_safetensors(path, shapes, "F32")
    return path


def pair(name: str, outputs: int, inputs: int, rank: int = 4) -> Shapes:
    return {f"{name}.lora_A.weight": (rank, inputs), f"{name}.lora_B.weight": (outputs, rank)}


FLUX1 = {
    "diffusers": pair("transformer.transformer_blocks.0.attn.to_q", 3072, 3072)
    | pair("transformer.transformer_blocks.0.ff.net.0.proj", 12288, 3072),
    "kohya": pair("lora_unet_double_blocks_0_img_attn_qkv", 9216, 3072)
    | pair("lora_unet_double_blocks_0_img_mod_lin", 18432, 3072),
    "feed-forward": pair("diffusion_model.double_blocks.0.img_mlp.0", 12288, 3072),
    "single blocks": pair("diffusion_model.single_blocks.0.linear1", 21504, 3072),
    "attention alone": pair("diffusion_model.double_blocks.0.img_attn.qkv", 9216, 3072)
    | pair("diffusion_model.double_blocks.18.img_attn.qkv", 9216, 3072),
    "with vectors": pair("diffusion_model.vector_in.in_layer", 3072, 768),
}


@pytest.mark.parametrize("kind", FLUX1)
def test_flux_1(kind: str, tmp_path: Path) -> None:
    """It is as wide as FLUX.2 Klein 4B, and much of it would fit."""
    assert "made for FLUX.1" in sentence(file_of(tmp_path / "a.safetensors", FLUX1[kind]), KLEIN)


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("lora_unet_down_blocks_0_attentions_0_proj_in", "Stable Diffusion"),
        ("diffusion_model.joint_blocks.0.x_block.attn.qkv", "Stable Diffusion 3"),
        ("transformer.transformer_blocks.0.img_mlp.net.0.proj", "Qwen-Image"),
        ("diffusion_model.blocks.0.self_attn.q", "Wan"),
        ("diffusion_model.layers.0.feed_forward.w1", "Z-Image"),
        ("diffusion_model.double_blocks.0.img_attn_qkv_of_mine", ""),
        ("diffusion_model.double_blocks.128.img_attn.qkv", ""),
    ],
)
def test_other_models(name: str, origin: str, tmp_path: Path) -> None:
    told = sentence(file_of(tmp_path / "a.safetensors", pair(name, 64, 64)))
    assert (f"made for {origin}" if origin else name) in told


@pytest.mark.parametrize(("model", "title"), [("dev", "FLUX.2 Dev 32B (width 6,144)"), ("klein-9b", "FLUX.2 Klein 9B")])
def test_another_flux_2(model: str, title: str, tmp_path: Path) -> None:
    shapes = transformer_shapes(Flux2TransformerConfig.from_dict(ARCHITECTURES[model].transformer))
    outputs, inputs = shapes["transformer_blocks.0.ff.linear_in.weight"]
    path = file_of(tmp_path / "a.safetensors", pair("transformer.transformer_blocks.0.ff.linear_in", outputs, inputs))
    told = sentence(path, KLEIN)
    assert title in told and "5 + 20 blocks of width 3,072" in told


def test_another_width(tmp_path: Path) -> None:
    path = file_of(tmp_path / "a.safetensors", pair("transformer.transformer_blocks.0.attn.to_q", 128, 128))
    assert "a transformer of width 128" in sentence(path)


def test_blocks_that_the_model_has_not(tmp_path: Path) -> None:
    shapes = pair("double_blocks.0.img_attn.proj", 64, 64) | pair("double_blocks.99.img_attn.proj", 64, 64)
    assert "double_blocks.99.img_attn.proj" in sentence(file_of(tmp_path / "a.safetensors", shapes))


GOOD = pair("transformer.transformer_blocks.0.attn.to_q", 64, 64)
NAME = "transformer.transformer_blocks.0.attn.to_q"
FAULTY: dict[str, tuple[Shapes, str]] = {
    "DoRA of LyCORIS": (GOOD | {f"{NAME}.dora_scale": (64, 1)}, "DoRA"),
    "DoRA of peft": (GOOD | {f"{NAME}.lora_magnitude_vector.default.weight": (64,)}, "DoRA"),
    "OFT": ({"lycoris_transformer_blocks_0_attn_to_q.oft_blocks": (4, 16, 16)}, "OFT"),
    "Tucker": (GOOD | {f"{NAME}.lora_mid.weight": (4, 4, 3, 3)}, "convolutions"),
    "biases": (GOOD | {f"{NAME}.lora_B.bias": (64,)}, "biases"),
    "changed biases": (GOOD | {f"{NAME}.diff_b": (64,)}, "biases"),
    "a tensor too many": (GOOD | {f"{NAME}.mystery": (64,)}, f"{NAME}.mystery"),
    "an alpha of nothing": (GOOD | {"transformer.transformer_blocks.0.attn.to_k.alpha": ()}, "to_k.alpha"),
    "only A": ({f"{NAME}.lora_A.weight": (4, 64)}, "half of it is missing"),
    "only B": (GOOD | {"transformer.transformer_blocks.0.attn.to_k.lora_up.weight": (64, 4)}, "half of it is missing"),
    "LoKr without its second": ({f"{NAME}.lokr_w1": (4, 4)}, "half of it is missing"),
    "ranks that differ": ({f"{NAME}.lora_A.weight": (4, 64), f"{NAME}.lora_B.weight": (64, 8)}, "do not belong"),
    "no matrix": ({f"{NAME}.lora_A.weight": (4, 64, 3, 3), f"{NAME}.lora_B.weight": (64, 4)}, "no matrix"),
    "no rank": ({f"{NAME}.lora_A.weight": (0, 64), f"{NAME}.lora_B.weight": (64, 0)}, "no matrix"),
    "two adapters": (
        {f"{NAME}.lora_A.one.weight": (4, 64), f"{NAME}.lora_B.one.weight": (64, 4)}
        | {f"{NAME}.lora_A.two.weight": (4, 64), f"{NAME}.lora_B.two.weight": (64, 4)},
        "several LoRAs in one (one, two)",
    ),
    "twice under one name": (GOOD | {f"{NAME}.lora_down.weight": (4, 64)}, "twice"),
    "twice under two names": (GOOD | pair("diffusion_model.double_blocks.0.img_attn.qkv", 192, 64), "twice"),
    "a text encoder alone": ({"lora_te1_layers_0.lora_down.weight": (4, 8)}, "text encoder alone"),
    "nothing": ({}, "no changes at all"),
    "a model": ({"img_in.weight": (64, 128)}, "img_in.weight"),
    "whole numbers": (GOOD | {"x": (1,)}, "x"),
}


@pytest.mark.parametrize("kind", FAULTY)
def test_faulty_files(kind: str, tmp_path: Path) -> None:
    shapes, words = FAULTY[kind]
    assert words in sentence(file_of(tmp_path / "a.safetensors", shapes))


def small(change: Callable[[Changes], Changes] = lambda c: c, more: Arrays | None = None) -> LoraContent:
    some = dict(list(some_changes(SHAPES).items())[:4])
    return LoraContent(pairs(change(some), "transformer.") | (more or {}))


def test_what_was_never_trained_changes_nothing(tmp_path: Path) -> None:
    path = save_lora(tmp_path / "a.safetensors", small(lambda c: {name: (a, 0 * b) for name, (a, b) in c.items()}))
    with pytest.raises(LoraError, match="changes nothing"):
        load_branches(fitted(path), mx.float32)


def test_an_alpha_of_zero_changes_nothing(tmp_path: Path) -> None:
    tensors = small().tensors
    zeros = {name.replace(".lora_A.weight", ".alpha"): np.array(np.float32(0)) for name in tensors if "lora_A" in name}
    assert "changes nothing" in sentence(save_lora(tmp_path / "a.safetensors", LoraContent(tensors | zeros)))


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_not_finite(number: float, tmp_path: Path) -> None:
    path = save_lora(
        tmp_path / "a.safetensors", small(lambda c: {name: (a, b + np.float32(number)) for name, (a, b) in c.items()})
    )
    with pytest.raises(LoraError, match="NaN or infinity"):
        load_branches(fitted(path), mx.float32)


@pytest.mark.parametrize("alpha", [np.array([1, 2], np.float32), np.array(np.nan, np.float32), np.array(3, np.int64)])
def test_an_alpha_that_is_no_number(alpha: np.ndarray, tmp_path: Path) -> None:
    path = save_lora(tmp_path / "a.safetensors", small(more={"transformer.x_embedder.alpha": alpha}))
    with pytest.raises(LoraError, match="alpha"):
        fitted(path)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ("no JSON", "damaged metadata"),
        ("[]", "damaged metadata"),
        ('{"transformer.lora_alpha": "much"}', "no number"),
        ('{"transformer.lora_alpha": 4, "transformer.alpha_pattern": {".*to_q|to_k": 8}}', "pattern"),
    ],
)
def test_metadata_that_is_not_understood(metadata: str, words: str, tmp_path: Path) -> None:
    """It may hold the strength, so that it is not passed over."""
    content = small()._replace(metadata={"lora_adapter_metadata": metadata})
    assert words in sentence(save_lora(tmp_path / "a.safetensors", content))


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    path = save_lora(tmp_path / "a.safetensors", small())
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    with pytest.raises(CheckpointError, match="cut short"):
        load_branches(fitted(path), mx.float32)


@pytest.mark.parametrize("seed", range(40))
def test_headers_that_were_tampered_with(seed: int, tmp_path: Path) -> None:
    """Whatever a header says, it is understood or refused in a sentence."""
    random = np.random.default_rng(seed)
    path = save_lora(tmp_path / "a.safetensors", LAYOUTS["kohya"](dict(list(some_changes(SHAPES).items())[:3])))
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    name = str(random.choice(list(header)))
    wrong = [None, 5, [], {}, "F32", [-1, 2], [0, 1 << 70], {"dtype": 3}, [[1]], True]
    key = str(random.choice(["dtype", "shape", "data_offsets", "whole"]))
    value = wrong[int(random.integers(len(wrong)))]
    if key == "whole":
        header[name] = value
    else:
        header[name][key] = value
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + content[8 + length :])
    try:
        load_branches(fitted(path), mx.float32)
    except Flux2Error as error:
        assert str(error).endswith(".")
