"""The FLUX.2 diffusion transformer: predicts the velocity of the image tokens at one noise level.

Parameter names and shapes are those of diffusers' `Flux2Transformer2DModel`, so that loading is a lookup.
What is the same for every step of a run (text projection, rotations, modulations) is computed once, by `condition`.
The network asks for the weights of each of its parts just before it uses them (`weights_of`): they may be there all the
time, or come and go.
"""

# mlx.nn brings no types:
# mypy: allow-subclassing-any, no-warn-return-any

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from flux2.architecture.transformer import MODULATIONS, Flux2TransformerConfig, step_parts
from flux2.backend.mlx import mx, nn
from flux2.models.evaluation import AfterBlock, Evaluate
from flux2.models.layers import silu
from flux2.models.reference_cache import REFERENCE_TIMESTEP, CachedReferences, ReferenceCache, ReferencePass
from flux2.models.rope import PairRotation, Positions, axial_rotation
from flux2.models.transformer_blocks import Modulation, SingleTransformerBlock, TransformerBlock, modulated_norm

TIMESTEP_SCALE = 1000.0  # the embedding's unit: a noise level of 1 is timestep 1000
SINUSOID_MAX_PERIOD = 10_000.0

WeightsOf = Callable[[str], AbstractContextManager[Any]]
"""Gives, for the path of a part of the network, a context within which that part has its weights."""


class References(NamedTuple):
    """Reference pictures, as `condition` takes them."""

    latents: mx.array
    """Clean latents, packed, [batch, reference tokens, in_channels]."""
    positions: Positions
    """[reference tokens, 4], from `flux2.models.rope`."""
    cache: ReferenceCache | None = None
    """Where their keys and values are kept, or are already, for networks that were trained for it; None for others."""


class Conditioning(NamedTuple):
    """What stays the same through a run."""

    texts: list[mx.array]
    """One projected prompt per pass, [batch, text tokens, width]; their dtype is the one computed in."""
    rotation: PairRotation
    """The rotation of text, image and reference tokens, in this order."""
    modulations: list[Modulation]
    """One per step."""
    references: mx.array | None = None
    """Clean latents of the reference pictures, packed, [batch, reference tokens, in_channels]."""
    cached: CachedReferences | None = None
    """The reference pictures in the other way: those that every step attends to, and is not attended by."""


class Flux2Transformer2DModel(nn.Module):
    """`condition` once per run, then call once per step."""

    weights_of: WeightsOf
    """How the weights of a part come; by default all are there all the time."""

    def __init__(self, config: Flux2TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.weights_of = lambda _: nullcontext()
        width = config.width
        self.time_guidance_embed = TimestepGuidanceEmbeddings(config)
        self.double_stream_modulation_img = ModulationProjection(width, parts=6)
        self.double_stream_modulation_txt = ModulationProjection(width, parts=6)
        self.single_stream_modulation = ModulationProjection(width, parts=3)
        self.x_embedder = nn.Linear(config.in_channels, width, bias=False)
        self.context_embedder = nn.Linear(config.joint_attention_dim, width, bias=False)
        self.transformer_blocks = [TransformerBlock(config) for _ in range(config.num_layers)]
        self.single_transformer_blocks = [SingleTransformerBlock(config) for _ in range(config.num_single_layers)]
        self.norm_out = ModulationProjection(width, parts=2)
        self.proj_out = nn.Linear(width, config.out_channels, bias=False)

    def step_parts(self) -> list[str]:
        """Paths of the parts of the blocks that a step goes through, in order."""
        return step_parts(self.config)

    def condition(
        self,
        prompts: Sequence[mx.array],
        timesteps: Sequence[float],
        text_positions: Positions,
        image_positions: Positions,
        guidance: float | None = None,
        references: References | None = None,
    ) -> Conditioning:
        """Everything that does not depend on the latents, evaluated part by part.

        Args:
            prompts: embeddings of each pass's prompt, all [batch, text tokens, joint_attention_dim]; their dtype is the
                one the network computes in.
            timesteps: noise level of each step, in (0, 1].
            text_positions: [text tokens, 4], from `flux2.models.rope`.
            image_positions: [image tokens, 4].
            guidance: scale for networks with a guidance embedding; the others ignore it, as in diffusers.
        """
        alone = references is not None and references.cache is not None
        levels = [*timesteps, REFERENCE_TIMESTEP] if alone else timesteps
        modulations = self.modulate(levels, guidance, prompts[0].dtype)
        with self.weights_of("context_embedder"):
            texts = [self.context_embedder(prompt) for prompt in prompts]
            mx.eval(texts)
        positions = [text_positions, image_positions]
        if references is None:
            return Conditioning(texts, self._rotation(positions), modulations)
        mx.eval(references.latents)
        if references.cache is None:
            rotation = self._rotation([*positions, references.positions])
            return Conditioning(texts, rotation, modulations, references.latents)
        cached = CachedReferences(
            references.latents, self._rotation([references.positions]), modulations.pop(), references.cache
        )
        return Conditioning(texts, self._rotation(positions), modulations, cached=cached)

    def _rotation(self, positions: Sequence[Positions]) -> PairRotation:
        """The rotation of tokens at these positions, one list after the other."""
        config = self.config
        return axial_rotation(np.concatenate(positions), config.axes_dims_rope, config.rope_theta).of_pairs()

    def modulate(self, timesteps: Sequence[float], guidance: float | None, dtype: mx.Dtype) -> list[Modulation]:
        """The modulation of every noise level, computed for all of them at once."""
        with self.weights_of("time_guidance_embed"):
            embedding = self.time_guidance_embed(timesteps, guidance, dtype)
            mx.eval(embedding)
        parts = []
        for name in MODULATIONS:
            with self.weights_of(name):
                parts.append(self[name](embedding))
                mx.eval(parts)  # before the next one's weights are widened
        return [Modulation(*(part[step, None, None] for part in parts)) for step in range(len(timesteps))]

    def __call__(
        self,
        hidden_states: mx.array,
        conditioning: Conditioning,
        step: int,
        evaluate: Evaluate = mx.eval,
        after_block: AfterBlock = lambda *_: None,
    ) -> list[mx.array]:
        """The velocity [batch, image tokens, out_channels] of packed latents [batch, image tokens, in_channels].

        Each prompt has its own; all of them go through a block before the next one's turn.

        Args:
            evaluate: called with what a block's part computed, in places that bound the memory that is held.
            after_block: called with the results of each block, first the prompts' images, then their texts; may raise
                to stop.
        """
        return finish_step(self.blocks(hidden_states, conditioning, step, evaluate), after_block)

    def blocks(
        self, hidden_states: mx.array, conditioning: Conditioning, step: int, evaluate: Evaluate
    ) -> Generator[list[mx.array], None, list[mx.array]]:
        """The network's pass, block by block: yields the results of each, and returns the velocities."""
        modulation, rotation = conditioning.modulations[step], conditioning.rotation
        texts = list(conditioning.texts)
        passes = range(len(texts))
        cached = None
        if conditioning.cached:
            cached = ReferencePass(conditioning.cached, self.x_embedder, texts[0].dtype, evaluate)
        image_tokens = hidden_states.shape[1]
        if conditioning.references is not None:  # clean in every step, and else treated as the image is
            hidden_states = mx.concatenate([hidden_states, conditioning.references], axis=1)
        images = [self.x_embedder(hidden_states.astype(texts[0].dtype))] * len(texts)
        for number, block in enumerate(self.transformer_blocks):
            path = f"transformer_blocks.{number}"
            with self.weights_of(f"{path}.attn"):
                others = cached.attend(number, block) if cached else None
                for i in passes:
                    images[i], texts[i] = block.attend(images[i], texts[i], modulation, rotation, evaluate, others)
                    evaluate(images[i], texts[i])
            with self.weights_of(f"{path}.ff"):
                if cached:
                    cached.feed_forward(block)
                for i in passes:
                    images[i] = block.feed_forward(images[i], modulation)
                    evaluate(images[i])
            with self.weights_of(f"{path}.ff_context"):
                for i in passes:
                    texts[i] = block.feed_forward_context(texts[i], modulation)
                    evaluate(texts[i])
            yield [*images, *texts]
        text_tokens = texts[0].shape[1]
        joints = [mx.concatenate([text, image], axis=1) for text, image in zip(texts, images, strict=True)]
        del images, texts
        for number, single_block in enumerate(self.single_transformer_blocks):
            with self.weights_of(f"single_transformer_blocks.{number}"):
                others = cached.go_through(len(self.transformer_blocks) + number, single_block) if cached else None
                for i in passes:
                    joints[i] = single_block(joints[i], modulation.single, rotation, evaluate, others)
                    evaluate(joints[i])
            yield joints
        if cached:
            cached.end()
        picture = slice(text_tokens, text_tokens + image_tokens)
        return [self.finish(joint[:, picture], modulation.out) for joint in joints]

    def finish(self, image: mx.array, modulation: mx.array) -> mx.array:
        """The last norm and the projection to channels. Its scale comes before its shift, unlike the blocks'."""
        scale, shift = mx.split(modulation, 2, axis=-1)
        return self.proj_out(modulated_norm(image, shift, scale, self.config.eps))


def finish_step(
    blocks: Generator[list[mx.array], None, list[mx.array]], after_block: AfterBlock = lambda *_: None
) -> list[mx.array]:
    """Go through the rest of a step's blocks, for their velocities."""
    while True:
        try:
            after_block(*next(blocks))
        except StopIteration as end:
            velocities: list[mx.array] = end.value
            return velocities


class TimestepGuidanceEmbeddings(nn.Module):
    """Noise level and, where the network has it, guidance scale → one vector."""

    def __init__(self, config: Flux2TransformerConfig) -> None:
        super().__init__()
        self._channels = config.timestep_guidance_channels
        self.timestep_embedder = TimestepEmbedding(self._channels, config.width)
        if config.guidance_embeds:
            self.guidance_embedder = TimestepEmbedding(self._channels, config.width)

    def __call__(self, timesteps: Sequence[float], guidance: float | None, dtype: mx.Dtype) -> mx.array:
        """[steps, width].

        bfloat16 keeps 8 bits of a noise level, so what is rounded shows: as in diffusers' pipeline it is the timestep,
        and then the timestep / 1000.
        """
        levels = (mx.array(list(timesteps)) * TIMESTEP_SCALE).astype(dtype) / TIMESTEP_SCALE
        embedding = self.timestep_embedder(sinusoid(levels, self._channels))
        if guidance is not None and "guidance_embedder" in self:
            scale = mx.array([guidance]).astype(dtype)
            embedding = embedding + self.guidance_embedder(sinusoid(scale, self._channels))
        return embedding


class TimestepEmbedding(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, width, bias=False)
        self.linear_2 = nn.Linear(width, width, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        return self.linear_2(silu(self.linear_1(x)))


class ModulationProjection(nn.Module):
    """The embedding's share for one kind of block, [steps, parts · width]."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, parts * width, bias=False)

    def __call__(self, embedding: mx.array) -> mx.array:
        return self.linear(silu(embedding))


def sinusoid(values: mx.array, channels: int) -> mx.array:
    """Cosines, then sines, of 1000 · value at `channels` / 2 frequencies, [values, channels] in the values' dtype.

    The angles are float32, as in diffusers; NumPy's sines are exact also for thousands of radians.
    """
    scaled = np.array((values * TIMESTEP_SCALE).astype(mx.float32))
    half = channels // 2
    frequencies = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(SINUSOID_MAX_PERIOD)) / half)
    angles = scaled[:, None] * frequencies
    return mx.array(np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)).astype(values.dtype)
