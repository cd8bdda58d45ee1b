"""Whether a model's parts were made for each other: what one gives, the next one must take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flux2.architecture.autoencoder import AutoencoderConfig
from flux2.architecture.language_model import LanguageModelConfig
from flux2.architecture.limits import TOKEN_PIXELS
from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.errors import CheckpointError

_NAMES = {"text_encoder": "text encoder", "vae": "autoencoder"}


def check_parts_fit(
    transformer: Flux2TransformerConfig,
    text_encoder: LanguageModelConfig,
    vae: AutoencoderConfig,
    configs: Mapping[str, Path],
) -> None:
    """Refuse parts that were not made for each other.

    Args:
        configs: path of what tells of each, its config.json or its single file, under "transformer", "text_encoder" and
            "vae"; for the sentence.

    Raises:
        CheckpointError: one sentence naming the config, the value and what contradicts it.
    """
    for key, takes, part, gives in (
        ("joint_attention_dim", transformer.joint_attention_dim, "text_encoder", text_encoder.prompt_features),
        ("in_channels", transformer.in_channels, "vae", vae.patch_channels),
        ("out_channels", transformer.out_channels, "vae", vae.patch_channels),
    ):
        if takes != gives:
            raise CheckpointError(
                f"{configs['transformer']}: {key} is {takes}, but the {_NAMES[part]} in "
                f"{_place(configs[part])} has {gives}; use parts that were made for each other, or download them again."
            )
    for side in vae.patch_size:
        if (pixels := side * vae.scale_factor) != TOKEN_PIXELS:
            raise CheckpointError(
                f"{configs['vae']}: block_out_channels and patch_size make a token of {pixels} "
                f"pixels, but FLUX.2's have {TOKEN_PIXELS}; use a FLUX.2 checkpoint."
            )


def _place(config: Path) -> Path:
    """The folder of a part, or its single file."""
    return config.parent if config.name == "config.json" else config
