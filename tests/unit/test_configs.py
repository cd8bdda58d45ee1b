"""The networks' configs: what they read, what they refuse, and the size of the networks built from them."""

from __future__ import annotations

import math
from typing import Any, Protocol

import pytest
from mlx.utils import tree_flatten

from flux2.architectures import ARCHITECTURES
from flux2.errors import CheckpointError
from flux2.mlx_backend import mx, nn
from flux2.models.autoencoder import AutoencoderConfig, AutoencoderKLFlux2
from flux2.models.qwen3 import Qwen3Config, Qwen3ForCausalLM
from flux2.models.transformer import Flux2Transformer2DModel, Flux2TransformerConfig

TRANSFORMER = ARCHITECTURES["klein-4b"].transformer
TEXT_ENCODER = ARCHITECTURES["klein-4b"].text_encoder
VAE = ARCHITECTURES["klein-4b"].vae


class Config(Protocol):
    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Any: ...


def count(network: nn.Module) -> int:
    return sum(math.prod(array.shape) for _, array in tree_flatten(network.parameters()))


@pytest.mark.parametrize(
    ("model", "parameters"),
    [("klein-4b", 3_875_544_576), ("klein-9b", 9_078_581_248), ("dev", 32_223_281_152)],
)
def test_transformers_have_the_published_size_and_allocate_nothing(model: str, parameters: int) -> None:
    before = mx.get_active_memory()
    network = Flux2Transformer2DModel(Flux2TransformerConfig.from_dict(ARCHITECTURES[model].transformer))
    assert count(network) == parameters
    assert mx.get_active_memory() - before < 1 << 20


def test_the_autoencoder_has_the_published_size() -> None:
    statistics = 2 * 128  # buffers, not parameters, in diffusers' count
    assert count(AutoencoderKLFlux2(AutoencoderConfig.from_dict(VAE))) == 84_046_115 + statistics


def test_the_text_encoder_has_nothing_that_is_not_used() -> None:
    names = [name for name, _ in tree_flatten(Qwen3ForCausalLM(Qwen3Config.from_dict(TEXT_ENCODER)).parameters())]
    assert "model.layers.26.mlp.down_proj.weight" in names
    assert not [name for name in names if name.startswith(("model.layers.27.", "model.norm", "lm_head"))]


def test_a_small_decoder_has_its_own_widths() -> None:
    config = AutoencoderConfig.from_dict({**VAE, "decoder_block_out_channels": [96, 192, 384, 384]})
    network = AutoencoderKLFlux2(config)
    assert network.decoder.conv_in.weight.shape == (384, 32, 3, 3)
    assert network.encoder.conv_out.weight.shape == (64, 512, 3, 3)


def test_reads_rope_theta_as_either_transformers_wrote_it() -> None:
    legacy = {key: value for key, value in TEXT_ENCODER.items() if key not in ("rope_theta", "rope_parameters")}
    for spelling in (
        {"rope_theta": 5e5},
        {"rope_theta": 5e5, "rope_scaling": None},
        {"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}},
        {"rope_theta": 1, "rope_parameters": {"rope_theta": 5e5}},
    ):
        assert Qwen3Config.from_dict({**legacy, **spelling}).rope_theta == 5e5


def test_unknown_keys_are_ignored_and_published_defaults_filled_in() -> None:
    values = {key: value for key, value in TRANSFORMER.items() if key not in ("guidance_embeds", "out_channels")}
    config = Flux2TransformerConfig.from_dict({**values, "of_the_future": 1})
    assert config.guidance_embeds  # diffusers' default, for checkpoints older than the key
    assert config.out_channels == config.in_channels == 128


@pytest.mark.parametrize(
    ("config", "values", "key", "value"),
    [
        (Flux2TransformerConfig, TRANSFORMER, "_class_name", "FluxTransformer2DModel"),
        (Flux2TransformerConfig, TRANSFORMER, "num_layers", 0),
        (Flux2TransformerConfig, TRANSFORMER, "num_layers", -1),
        (Flux2TransformerConfig, TRANSFORMER, "num_layers", 10**9),
        (Flux2TransformerConfig, TRANSFORMER, "num_layers", True),
        (Flux2TransformerConfig, TRANSFORMER, "num_layers", 5.0),
        (Flux2TransformerConfig, TRANSFORMER, "num_attention_heads", "24"),
        (Flux2TransformerConfig, TRANSFORMER, "joint_attention_dim", None),
        (Flux2TransformerConfig, TRANSFORMER, "axes_dims_rope", [32, 32, 32, 16]),
        (Flux2TransformerConfig, TRANSFORMER, "axes_dims_rope", [64, 64]),
        (Flux2TransformerConfig, TRANSFORMER, "axes_dims_rope", [31, 33, 32, 32]),
        (Flux2TransformerConfig, TRANSFORMER, "axes_dims_rope", 128),
        (Flux2TransformerConfig, TRANSFORMER, "rope_theta", 0),
        (Flux2TransformerConfig, TRANSFORMER, "eps", float("nan")),
        (Flux2TransformerConfig, TRANSFORMER, "mlp_ratio", "3"),
        (Flux2TransformerConfig, TRANSFORMER, "guidance_embeds", 1),
        (Flux2TransformerConfig, TRANSFORMER, "patch_size", 2),
        (Qwen3Config, TEXT_ENCODER, "model_type", "llama"),
        (Qwen3Config, TEXT_ENCODER, "hidden_act", "gelu"),
        (Qwen3Config, TEXT_ENCODER, "attention_bias", True),
        (Qwen3Config, TEXT_ENCODER, "use_sliding_window", True),
        (Qwen3Config, TEXT_ENCODER, "num_key_value_heads", 5),
        (Qwen3Config, TEXT_ENCODER, "num_hidden_layers", 27),
        (Qwen3Config, TEXT_ENCODER, "rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
        (Qwen3Config, TEXT_ENCODER, "rope_parameters", 10_000),
        (AutoencoderConfig, VAE, "_class_name", "AutoencoderKL"),
        (AutoencoderConfig, VAE, "block_out_channels", [128, 256, 512, 500]),
        (AutoencoderConfig, VAE, "block_out_channels", []),
        (AutoencoderConfig, VAE, "decoder_block_out_channels", [96, 192, 384]),
        (AutoencoderConfig, VAE, "act_fn", "relu"),
        (AutoencoderConfig, VAE, "patch_size", [2, 2, 2]),
        (AutoencoderConfig, VAE, "latent_channels", 0),
        (AutoencoderConfig, VAE, "down_block_types", ["AttnDownEncoderBlock2D"] * 4),
    ],
)
def test_refuses_nonsense_naming_file_key_and_value(
    config: Config, values: dict[str, Any], key: str, value: Any
) -> None:
    with pytest.raises(CheckpointError) as refused:
        config.from_dict({**values, key: value})
    sentence = str(refused.value)
    assert "config.json" in sentence
    assert f"{key} is {value!r}" in sentence


@pytest.mark.parametrize(
    ("config", "values", "key"),
    [
        (Flux2TransformerConfig, TRANSFORMER, "_class_name"),
        (Flux2TransformerConfig, TRANSFORMER, "num_single_layers"),
        (Flux2TransformerConfig, TRANSFORMER, "axes_dims_rope"),
        (Qwen3Config, TEXT_ENCODER, "model_type"),
        (Qwen3Config, TEXT_ENCODER, "vocab_size"),
        (AutoencoderConfig, VAE, "block_out_channels"),
    ],
)
def test_refuses_a_config_without_what_it_needs(config: Config, values: dict[str, Any], key: str) -> None:
    with pytest.raises(CheckpointError, match=f"{key} is missing"):
        config.from_dict({name: value for name, value in values.items() if name != key})


def test_a_nested_rope_config_is_checked_too() -> None:
    for rope in ({"rope_type": "default"}, {"rope_type": "llama3", "rope_theta": 1e4}):
        with pytest.raises(CheckpointError, match="rope_parameters"):
            Qwen3Config.from_dict({**TEXT_ENCODER, "rope_parameters": rope})
