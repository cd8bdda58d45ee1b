"""The networks of `pocket`: FLUX.2's own architecture, small, as diffusers and transformers build it.

Every input of a Linear is a multiple of 64, so that each can be quantized in groups of 64. The text encoder keeps 28
layers because pipelines take its hidden states 9, 18 and 27, and nothing in a checkpoint can tell them otherwise (the
27th of 27 layers would be the normalised one).
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2Transformer2DModel
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM

TEXT_LAYERS = (9, 18, 27)
TEXT_WIDTH = 64
TRANSFORMER = {
    "patch_size": 1,
    "in_channels": 128,
    "num_layers": 1,
    "num_single_layers": 6,
    "attention_head_dim": 64,
    "num_attention_heads": 5,
    "joint_attention_dim": TEXT_WIDTH * len(TEXT_LAYERS),
    "timestep_guidance_channels": 256,
    "mlp_ratio": 3.0,
    "axes_dims_rope": (16, 16, 16, 16),
    "rope_theta": 2000,
    "guidance_embeds": False,
}
TEXT_ENCODER = {
    "hidden_size": TEXT_WIDTH,
    "intermediate_size": 128,
    "num_hidden_layers": 28,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "rope_theta": 1e6,
    "tie_word_embeddings": True,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-6,
}
AUTOENCODER = {
    "block_out_channels": (32, 64, 128, 64),
    "layers_per_block": 1,
    "norm_num_groups": 16,
    "latent_channels": 32,
    "sample_size": 256,
}


def new_autoencoder() -> AutoencoderKLFlux2:
    autoencoder = AutoencoderKLFlux2(**AUTOENCODER)
    with torch.no_grad():  # a nearly noiseless posterior to begin with
        autoencoder.quant_conv.bias[AUTOENCODER["latent_channels"] :] = -4.0
    return autoencoder


def new_transformer() -> Flux2Transformer2DModel:
    """Modulations and the output start at zero, so that every block starts as the identity (as in DiT)."""
    transformer = Flux2Transformer2DModel(**TRANSFORMER)
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if "modulation" in name or name.startswith(("proj_out", "norm_out")):
                weight.zero_()
            elif weight.ndim == 2:
                nn.init.normal_(weight, std=0.7 * weight.shape[1] ** -0.5)
    return transformer


def new_text_encoder(vocabulary: int) -> Qwen3ForCausalLM:
    """The last layer is never used, but has to be there; its outputs are zero."""
    encoder = Qwen3ForCausalLM(Qwen3Config(vocab_size=vocabulary, **TEXT_ENCODER))
    unused = f"layers.{TEXT_LAYERS[-1]}."
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            leaves_layer = "o_proj" in name or "down_proj" in name
            if leaves_layer and unused in name:
                weight.zero_()
            elif "embed_tokens" in name:
                nn.init.normal_(weight, std=0.5)
            elif weight.ndim == 2:
                nn.init.normal_(weight, std=(0.4 if leaves_layer else 1.0) * weight.shape[1] ** -0.5)
    return encoder


def new_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """FLUX.2's own settings."""
    return FlowMatchEulerDiscreteScheduler(
        shift=3.0,
        use_dynamic_shifting=True,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
        time_shift_type="exponential",
    )
