"""The catalog models' config files as data, so that a plan or a synthetic checkpoint needs no download.

The engine itself never reads these: it takes every constant from the checkpoint it was given. Sources: diffusers'
and transformers' defaults for the classes named, and the published sizes of FLUX.2, Qwen3-4B, Qwen3-8B and Mistral
Small 3.2; the parameter counts that follow from them are checked in the tests.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from flux2.architecture.autoencoder import AutoencoderConfig, autoencoder_shapes
from flux2.architecture.reference_caching import PIPELINE
from flux2.architecture.shapes import Shapes
from flux2.architecture.text_encoder import find_text_encoder
from flux2.architecture.transformer import Flux2TransformerConfig, transformer_shapes

Config = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The config files of one checkpoint."""

    index: Config
    """model_index.json."""
    transformer: Config
    text_encoder: Config
    vae: Config
    scheduler: Config

    def shapes(self) -> dict[str, Shapes]:
        """Names and shapes of all tensors, by the folder that they lie in."""
        return {
            "transformer": transformer_shapes(Flux2TransformerConfig.from_dict(self.transformer)),
            "text_encoder": find_text_encoder(self.text_encoder).shapes(self.text_encoder),
            "vae": autoencoder_shapes(AutoencoderConfig.from_dict(self.vae)),
        }


def _transformer(*, layers: int, single_layers: int, heads: int, text_width: int, guidance: bool) -> Config:
    return {
        "_class_name": "Flux2Transformer2DModel",
        "attention_head_dim": 128,
        "axes_dims_rope": [32, 32, 32, 32],
        "eps": 1e-6,
        "guidance_embeds": guidance,
        "in_channels": 128,
        "joint_attention_dim": 3 * text_width,
        "mlp_ratio": 3.0,
        "num_attention_heads": heads,
        "num_layers": layers,
        "num_single_layers": single_layers,
        "out_channels": None,
        "patch_size": 1,
        "rope_theta": 2000,
        "timestep_guidance_channels": 256,
    }


def _qwen3(*, hidden_size: int, intermediate_size: int, tie_word_embeddings: bool) -> Config:
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "dtype": "bfloat16",
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": hidden_size,
        "intermediate_size": intermediate_size,
        "max_position_embeddings": 40960,
        "model_type": "qwen3",
        "num_attention_heads": 32,
        "num_hidden_layers": 36,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "tie_word_embeddings": tie_word_embeddings,
        "use_sliding_window": False,
        "vocab_size": 151936,
    }


_MISTRAL_SMALL: Config = {
    "architectures": ["Mistral3ForConditionalGeneration"],
    "dtype": "bfloat16",
    "image_token_index": 10,
    "model_type": "mistral3",
    "multimodal_projector_bias": False,
    "projector_hidden_act": "gelu",
    "spatial_merge_size": 2,
    "text_config": {
        "attention_dropout": 0.0,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 5120,
        "intermediate_size": 32768,
        "max_position_embeddings": 131072,
        "model_type": "mistral",
        "num_attention_heads": 32,
        "num_hidden_layers": 40,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e9,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "vocab_size": 131072,
    },
    "vision_config": {
        "head_dim": 64,
        "hidden_act": "gelu",
        "hidden_size": 1024,
        "image_size": 1540,
        "intermediate_size": 4096,
        "model_type": "pixtral",
        "num_attention_heads": 16,
        "num_channels": 3,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "rope_theta": 10000.0,
    },
    "vision_feature_layer": -1,
}

_VAE: Config = {
    "_class_name": "AutoencoderKLFlux2",
    "act_fn": "silu",
    "batch_norm_eps": 1e-4,
    "batch_norm_momentum": 0.1,
    "block_out_channels": [128, 256, 512, 512],
    "decoder_block_out_channels": None,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 32,
    "layers_per_block": 2,
    "mid_block_add_attention": True,
    "norm_num_groups": 32,
    "out_channels": 3,
    "patch_size": [2, 2],
    "sample_size": 1024,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "use_post_quant_conv": True,
    "use_quant_conv": True,
}

_SCHEDULER: Config = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "base_image_seq_len": 256,
    "base_shift": 0.5,
    "invert_sigmas": False,
    "max_image_seq_len": 4096,
    "max_shift": 1.15,
    "num_train_timesteps": 1000,
    "shift": 3.0,
    "shift_terminal": None,
    "stochastic_sampling": False,
    "time_shift_type": "exponential",
    "use_beta_sigmas": False,
    "use_dynamic_shifting": True,
    "use_exponential_sigmas": False,
    "use_karras_sigmas": False,
}


def _index(pipeline: str, text_encoder: str, tokenizer: str, **settings: Any) -> Config:
    return {
        "_class_name": pipeline,
        **settings,
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", text_encoder],
        "tokenizer": ["transformers", tokenizer],
        "transformer": ["diffusers", "Flux2Transformer2DModel"],
        "vae": ["diffusers", "AutoencoderKLFlux2"],
    }


def _klein(
    transformer: Config, text_encoder: Config, *, distilled: bool, pipeline: str = "Flux2KleinPipeline"
) -> Architecture:
    return Architecture(
        index=_index(pipeline, "Qwen3ForCausalLM", "Qwen2TokenizerFast", is_distilled=distilled),
        transformer=transformer,
        text_encoder=text_encoder,
        vae=_VAE,
        scheduler=_SCHEDULER,
    )


_KLEIN_4B = _transformer(layers=5, single_layers=20, heads=24, text_width=2560, guidance=False)
_KLEIN_9B = _transformer(layers=8, single_layers=24, heads=32, text_width=4096, guidance=False)
_QWEN3_4B = _qwen3(hidden_size=2560, intermediate_size=9728, tie_word_embeddings=True)
_QWEN3_8B = _qwen3(hidden_size=4096, intermediate_size=12288, tie_word_embeddings=False)

ARCHITECTURES: dict[str, Architecture] = {
    "klein-4b": _klein(_KLEIN_4B, _QWEN3_4B, distilled=True),
    "klein-9b": _klein(_KLEIN_9B, _QWEN3_8B, distilled=True),
    "klein-9b-kv": _klein(_KLEIN_9B, _QWEN3_8B, distilled=True, pipeline=PIPELINE),
    "klein-base-4b": _klein(_KLEIN_4B, _QWEN3_4B, distilled=False),
    "klein-base-9b": _klein(_KLEIN_9B, _QWEN3_8B, distilled=False),
    "dev": Architecture(
        index=_index("Flux2Pipeline", "Mistral3ForConditionalGeneration", "PixtralProcessor"),
        transformer=_transformer(layers=8, single_layers=48, heads=48, text_width=5120, guidance=True),
        text_encoder=_MISTRAL_SMALL,
        vae=_VAE,
        scheduler=_SCHEDULER,
    ),
}
"""Config files by catalog name; the embedded model is not among them, its config files are in the package."""


def scaled_down(architecture: Architecture, divisor: int) -> Architecture:
    """An architecture with widths, heads, layers and vocabulary divided by `divisor`, for quick tests.

    Every Linear's inputs stay a multiple of 64 and the text encoder keeps the layers whose hidden states are taken, so
    that whatever runs on the large one runs on the small one.
    """
    if divisor == 1:
        return architecture
    small = deepcopy(architecture)
    language_model = small.text_encoder.get("text_config", small.text_encoder)
    for key in ("hidden_size", "intermediate_size"):
        language_model[key] = _divided(language_model[key], divisor, multiple_of=64)
    for key in ("num_attention_heads", "num_key_value_heads"):
        language_model[key] = _divided(language_model[key], divisor)
    language_model["vocab_size"] = _divided(language_model["vocab_size"], divisor, multiple_of=64, minimum=1024)
    language_model["num_hidden_layers"] = max(32, language_model["num_hidden_layers"] // divisor)
    if vision := small.text_encoder.get("vision_config"):
        vision["num_hidden_layers"] = _divided(vision["num_hidden_layers"], divisor)
        vision["intermediate_size"] = _divided(vision["intermediate_size"], divisor, multiple_of=64)
    for key in ("num_attention_heads", "num_layers", "num_single_layers"):
        small.transformer[key] = _divided(small.transformer[key], divisor)
    small.transformer["joint_attention_dim"] = 3 * language_model["hidden_size"]
    widths = small.vae["block_out_channels"]
    small.vae["block_out_channels"] = [_divided(width, divisor, multiple_of=32) for width in widths]
    return small


def _divided(value: int, divisor: int, *, multiple_of: int = 1, minimum: int = 1) -> int:
    return max(value // divisor // multiple_of * multiple_of, multiple_of, minimum)
