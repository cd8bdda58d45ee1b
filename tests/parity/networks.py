"""The engine's networks, loaded from a recording's checkpoint by the engine's own loader, computing in float32."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from recordings import Recording

from flux2.checkpoint.layout import Component, open_checkpoint
from flux2.checkpoint.loading import load_weights, plan_weights
from flux2.mlx_backend import mx, nn
from flux2.models.autoencoder import AutoencoderConfig, AutoencoderKLFlux2
from flux2.models.qwen3 import Qwen3Config, Qwen3ForCausalLM
from flux2.models.rope import image_positions, text_positions
from flux2.models.transformer import Conditioning, Flux2Transformer2DModel, Flux2TransformerConfig


@cache
def text_encoder(checkpoint: Path) -> Qwen3ForCausalLM:
    component = open_checkpoint(checkpoint).text_encoder
    return _loaded(Qwen3ForCausalLM(Qwen3Config.from_dict(component.config)), component)


@cache
def transformer(checkpoint: Path) -> Flux2Transformer2DModel:
    component = open_checkpoint(checkpoint).transformer
    return _loaded(Flux2Transformer2DModel(Flux2TransformerConfig.from_dict(component.config)), component)


@cache
def autoencoder(checkpoint: Path) -> AutoencoderKLFlux2:
    component = open_checkpoint(checkpoint).vae
    return _loaded(AutoencoderKLFlux2(AutoencoderConfig.from_dict(component.config)), component)


def _loaded(network: nn.Module, component: Component) -> nn.Module:
    load_weights(network, plan_weights(network, component, unused=".*"), dtype=mx.float32)
    return network


def prompt_embeddings(run: Recording, prefix: str = "") -> mx.array:
    """[1, length, features] of the prompt, or with the prefix "negative_" of the negative prompt."""
    ids, mask = (mx.array(run[f"{prefix}{name}"]) for name in ("input_ids", "attention_mask"))
    return text_encoder(run.checkpoint)(ids, mask)


def conditioning(run: Recording) -> Conditioning:
    """Of every step of the run, from the prompt embeddings that the engine computes."""
    return transformer(run.checkpoint).condition(
        prompt_embeddings(run),
        [float(sigma) for sigma in run["sigmas"][:-1]],
        text_positions(run["input_ids"].shape[1]),
        image_positions(*run["noise"].shape[2:]),
    )


def packed(latents: np.ndarray) -> mx.array:
    """[1, channels, height, width] → [1, height · width, channels]"""
    return mx.array(latents.reshape(*latents.shape[:2], -1).swapaxes(1, 2))


def channels_last(picture: np.ndarray) -> mx.array:
    return mx.array(picture.transpose(0, 2, 3, 1))
