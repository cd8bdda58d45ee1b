"""The networks' configs: what they read, what they refuse, and the size of the networks built from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from mlx.utils import tree_flatten

from flux2.architecture.autoencoder import AutoencoderConfig
from flux2.architecture.language_model import LanguageModelConfig
from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.text_encoder import TEXT_ENCODERS, find_text_encoder
from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.backend.mlx import mx, nn
from flux2.errors import CheckpointError
from flux2.models.autoencoder import AutoencoderKLFlux2
from flux2.models.language_model import LanguageModel
from flux2.models.transformer import Flux2Transformer2DModel

TRANSFORMER = ARCHITECTURES["klein-4b"].transformer
TEXT_ENCODER = ARCHITECTURES["klein-4b"].text_encoder
DEV_TEXT_ENCODER = ARCHITECTURES["dev"].text_encoder
VAE = ARCHITECTURES["klein-4b"].vae


Read = Callable[[dict[str, Any]], Any]

read_transformer, read_vae = Flux2TransformerConfig.from_dict, AutoencoderConfig.from_dict
read_qwen3, read_mistral3 = (row.read_config for row in TEXT_ENCODERS.values())


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


@pytest.mark.parametrize(
    ("config", "layers", "normalised"),
    [(read_qwen3(TEXT_ENCODER), 27, True), (read_mistral3(DEV_TEXT_ENCODER), 30, False)],
)
def test_the_text_encoders_have_nothing_that_is_not_used(
    config: LanguageModelConfig, layers: int, normalised: bool
) -> None:
    names = [name for name, _ in tree_flatten(LanguageModel(config).parameters())]
    assert f"model.layers.{layers - 1}.mlp.down_proj.weight" in names
    assert ("model.layers.0.self_attn.q_norm.weight" in names) == normalised
    assert not [name for name in names if name.startswith((f"model.layers.{layers}.", "model.norm", "lm_head"))]


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
        assert read_qwen3({**legacy, **spelling}).rope_theta == 5e5


def test_unknown_keys_are_ignored_and_published_defaults_filled_in() -> None:
    values = {key: value for key, value in TRANSFORMER.items() if key not in ("guidance_embeds", "out_channels")}
    config = Flux2TransformerConfig.from_dict({**values, "of_the_future": 1})
    assert config.guidance_embeds  # diffusers' default, for checkpoints older than the key
    assert config.out_channels == config.in_channels == 128


@pytest.mark.parametrize(
    ("read", "values", "key", "value"),
    [
        (read_transformer, TRANSFORMER, "num_layers", 0),
        (read_transformer, TRANSFORMER, "num_layers", -1),
        (read_transformer, TRANSFORMER, "num_layers", 10**9),
        (read_transformer, TRANSFORMER, "num_layers", True),
        (read_transformer, TRANSFORMER, "num_layers", 5.0),
        (read_transformer, TRANSFORMER, "num_attention_heads", "24"),
        (read_transformer, TRANSFORMER, "joint_attention_dim", None),
        (read_transformer, TRANSFORMER, "axes_dims_rope", [32, 32, 32, 16]),
        (read_transformer, TRANSFORMER, "axes_dims_rope", [64, 64]),
        (read_transformer, TRANSFORMER, "axes_dims_rope", [31, 33, 32, 32]),
        (read_transformer, TRANSFORMER, "axes_dims_rope", 128),
        (read_transformer, TRANSFORMER, "rope_theta", 0),
        (read_transformer, TRANSFORMER, "eps", float("nan")),
        (read_transformer, TRANSFORMER, "mlp_ratio", "3"),
        (read_transformer, TRANSFORMER, "guidance_embeds", 1),
        (read_transformer, TRANSFORMER, "patch_size", 2),
        (read_qwen3, TEXT_ENCODER, "model_type", "llama"),
        (read_qwen3, TEXT_ENCODER, "hidden_act", "gelu"),
        (read_qwen3, TEXT_ENCODER, "attention_bias", True),
        (read_qwen3, TEXT_ENCODER, "use_sliding_window", True),
        (read_qwen3, TEXT_ENCODER, "num_key_value_heads", 5),
        (read_qwen3, TEXT_ENCODER, "num_hidden_layers", 27),
        (read_qwen3, TEXT_ENCODER, "rope_scaling", {"rope_type": "yarn", "factor": 4.0}),
        (read_qwen3, TEXT_ENCODER, "rope_parameters", 10_000),
        (read_mistral3, DEV_TEXT_ENCODER, "model_type", "mistral"),
        (read_mistral3, DEV_TEXT_ENCODER, "text_config", [1]),
        (read_vae, VAE, "block_out_channels", [128, 256, 512, 500]),
        (read_vae, VAE, "block_out_channels", []),
        (read_vae, VAE, "decoder_block_out_channels", [96, 192, 384]),
        (read_vae, VAE, "act_fn", "relu"),
        (read_vae, VAE, "patch_size", [2, 2, 2]),
        (read_vae, VAE, "latent_channels", 0),
        (read_vae, VAE, "down_block_types", ["AttnDownEncoderBlock2D"] * 4),
    ],
)
def test_refuses_nonsense_naming_file_key_and_value(read: Read, values: dict[str, Any], key: str, value: Any) -> None:
    with pytest.raises(CheckpointError) as refused:
        read({**values, key: value})
    sentence = str(refused.value)
    assert "config.json" in sentence
    assert f"{key} is {value!r}" in sentence


@pytest.mark.parametrize(
    ("read", "values", "key"),
    [
        (read_transformer, TRANSFORMER, "num_single_layers"),
        (read_transformer, TRANSFORMER, "num_layers"),
        (read_qwen3, TEXT_ENCODER, "model_type"),
        (read_qwen3, TEXT_ENCODER, "vocab_size"),
        (read_mistral3, DEV_TEXT_ENCODER, "text_config"),
        (read_mistral3, DEV_TEXT_ENCODER, "model_type"),
    ],
)
def test_refuses_a_config_without_what_it_needs(read: Read, values: dict[str, Any], key: str) -> None:
    with pytest.raises(CheckpointError, match=f"{key} is missing"):
        read({name: value for name, value in values.items() if name != key})


@pytest.mark.parametrize(
    ("read", "values", "key", "known"),
    [
        (read_transformer, TRANSFORMER, "_class_name", "Flux2Transformer2DModel"),
        (read_vae, VAE, "_class_name", "AutoencoderKLFlux2"),
        (find_text_encoder, TEXT_ENCODER, "architectures", "Qwen3ForCausalLM, Mistral3ForConditionalGeneration"),
    ],
)
def test_another_class_is_named_with_those_that_are_known(
    read: Read, values: dict[str, Any], key: str, known: str
) -> None:
    for named, told in (
        ("MistralForCausalLM", "says 'MistralForCausalLM'"),
        (None, "names no"),
        (7, "says 7"),
        ([], ""),
    ):
        with pytest.raises(CheckpointError, match=r"config\.json.* checkpoint") as refused:
            read({**values, key: named})
        assert told in str(refused.value)
        assert known in str(refused.value) or named is None


def test_a_nested_rope_config_is_checked_too() -> None:
    for rope in ({"rope_type": "default"}, {"rope_type": "llama3", "rope_theta": 1e4}):
        with pytest.raises(CheckpointError, match="rope_parameters"):
            read_qwen3({**TEXT_ENCODER, "rope_parameters": rope})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "ministral3"),
        ("sliding_window", 4096),
        ("num_hidden_layers", 30),
        ("head_dim", 127),
        ("rope_theta", None),
    ],
)
def test_the_text_part_of_mistral_is_checked_too(key: str, value: Any) -> None:
    text = {**DEV_TEXT_ENCODER["text_config"], key: value}
    with pytest.raises(CheckpointError, match=rf"config\.json \(text_config\): {key} is {value!r}"):
        read_mistral3({**DEV_TEXT_ENCODER, "text_config": text})
