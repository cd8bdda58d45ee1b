"""Cached references: the keys and values of reference pictures' tokens, computed once for all steps.

A checkpoint that was trained for it (diffusers' `Flux2KleinKVPipeline`) lets references see nothing but each other, at
timestep 0. So their tokens depend on neither prompt, noise nor step: they go through the blocks by themselves once, and
every step's tokens attend to what is kept of that. Diffusers computes the same within its first step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from flux2.backend.mlx import mx
from flux2.models.evaluation import Evaluate
from flux2.models.rope import PairRotation
from flux2.models.transformer_blocks import KeyValues, Modulation, SingleTransformerBlock, TransformerBlock

REFERENCE_TIMESTEP = 0.0
"""Noise level that references are told of."""


class ReferenceCache:
    """Keys and values of each block, in the dtype computed in; empty until a first step has gone through them."""

    def __init__(self) -> None:
        self.blocks: list[KeyValues] = []
        self.complete = False

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for kept in self.blocks for part in kept)


class CachedReferences(NamedTuple):
    """What a run's steps need to know of references that are cached."""

    latents: mx.array
    """Clean latents, packed, [batch, reference tokens, in_channels]."""
    rotation: PairRotation
    """The rotation of their tokens."""
    modulation: Modulation
    """Modulation by REFERENCE_TIMESTEP."""
    cache: ReferenceCache


class ReferencePass:
    """The references' own way through the blocks, beside a step's: where the cache is complete there is none to go.

    Each of its parts is called while the block's weights are there.
    """

    def __init__(
        self, references: CachedReferences, embed: Callable[[mx.array], mx.array], dtype: mx.Dtype, evaluate: Evaluate
    ) -> None:
        """Begin, with the latents embedded. What an earlier pass left unfinished is let go."""
        self._references, self._cache, self._evaluate = references, references.cache, evaluate
        self._tokens: mx.array | None = None
        if not self._cache.complete:
            self._cache.blocks = []
            self._tokens = embed(references.latents.astype(dtype))

    def attend(self, number: int, block: TransformerBlock) -> KeyValues:
        """Keys and values in a double-stream block, of this number among all blocks."""
        if self._tokens is not None:
            self._tokens, made = block.attend_alone(
                self._tokens, self._references.modulation, self._references.rotation, self._evaluate
            )
            self._keep(made)
        return self._cache.blocks[number]

    def feed_forward(self, block: TransformerBlock) -> None:
        """Go through the rest of that block."""
        if self._tokens is not None:
            self._tokens = block.feed_forward(self._tokens, self._references.modulation)
            self._evaluate(self._tokens)

    def go_through(self, number: int, block: SingleTransformerBlock) -> KeyValues:
        """Keys and values in a single-stream block, of this number among all blocks."""
        if self._tokens is not None:
            self._tokens, made = block.with_keys_and_values(
                self._tokens, self._references.modulation.single, self._references.rotation, self._evaluate
            )
            self._keep(made)
        return self._cache.blocks[number]

    def end(self) -> None:
        """Note that the pass went through all blocks."""
        self._tokens, self._cache.complete = None, True

    def _keep(self, made: KeyValues) -> None:
        self._evaluate(self._tokens, *made)
        self._cache.blocks.append(made)
