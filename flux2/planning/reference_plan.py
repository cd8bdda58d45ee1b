"""What reference pictures take while denoising, from configs alone; see `flux2.planning.planner`."""

from __future__ import annotations

from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.planning.run_facts import RunFacts, picture_tokens

KEYS_AND_VALUES = 2
"""Numbers that are kept of a token in a block, as so many times its width."""
_FLOAT32 = 4


def latents_held(config: Flux2TransformerConfig, facts: RunFacts) -> int:
    """Bytes of the latents of each picture, which stay for the next run with the same pictures."""
    return picture_tokens(facts.pictures) * config.in_channels * _FLOAT32


def noise_held(config: Flux2TransformerConfig, facts: RunFacts) -> int:
    """Bytes of the first noise, which what is kept of a source is put back with after every step."""
    return facts.image_tokens * config.in_channels * _FLOAT32 if facts.source else 0


def cache_bytes(config: Flux2TransformerConfig, facts: RunFacts) -> int:
    """Bytes of the keys and values of all blocks, where references are cached."""
    if not facts.caches_references:
        return 0
    blocks = config.num_layers + config.num_single_layers
    return blocks * KEYS_AND_VALUES * reference_states(config, facts)


def reference_states(config: Flux2TransformerConfig, facts: RunFacts) -> int:
    """Bytes of all references' tokens, once as wide as a block."""
    return facts.reference_tokens * config.width * facts.compute_bytes
