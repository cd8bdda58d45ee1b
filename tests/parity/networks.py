"""The engine's networks, loaded from a recording's checkpoint as the pipeline loads them, computing in float32."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from recordings import Recording

from flux2.backend.mlx import mx
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.networks import TRANSFORMER, VAE_DECODER, VAE_ENCODER, NetworkKind, NetworkSource
from flux2.models.autoencoder import AutoencoderKLFlux2
from flux2.models.language_model import LanguageModel
from flux2.models.rope import image_positions, text_positions
from flux2.models.transformer import Conditioning, Flux2Transformer2DModel


def text_encoder(run: Recording) -> LanguageModel:
    return _load_text_encoder(run.checkpoint)


def transformer(run: Recording) -> Flux2Transformer2DModel:
    return _load(run.checkpoint, TRANSFORMER)


def decoder(run: Recording) -> AutoencoderKLFlux2:
    return _load(run.checkpoint, VAE_DECODER)


def encoder(run: Recording) -> AutoencoderKLFlux2:
    return _load(run.checkpoint, VAE_ENCODER)


@cache
def _load_text_encoder(checkpoint: Path) -> Any:
    return NetworkSource.check_text_encoder(open_checkpoint(checkpoint)).load(mx.float32)


@cache
def _load(checkpoint: Path, kind: NetworkKind) -> Any:
    return NetworkSource.check(open_checkpoint(checkpoint), kind).load(mx.float32)


def prompt_embeddings(run: Recording, prefix: str = "") -> mx.array:
    """[1, length, features] of the prompt, or with the prefix "negative_" of the negative prompt."""
    ids, mask = (mx.array(run[f"{prefix}{name}"]) for name in ("input_ids", "attention_mask"))
    return text_encoder(run)(ids, mask)


def conditioning(run: Recording) -> Conditioning:
    """Conditioning of every step of the run, from the prompt embeddings that the engine computes."""
    return transformer(run).condition(
        [prompt_embeddings(run)],
        [float(sigma) for sigma in run["sigmas"][:-1]],
        text_positions(run["input_ids"].shape[1]),
        image_positions(*run["noise"].shape[2:]),
        run.arguments["guidance_scale"],
    )


def packed(latents: np.ndarray) -> mx.array:
    """[1, channels, height, width] → [1, height · width, channels]"""
    return mx.array(latents.reshape(*latents.shape[:2], -1).swapaxes(1, 2))


def channels_last(picture: np.ndarray) -> mx.array:
    return mx.array(picture.transpose(0, 2, 3, 1))
