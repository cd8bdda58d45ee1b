"""How much memory a run will take, phase by phase, from config files alone: no weights, and no MLX.

What is held is arithmetic: every tensor's shape follows from the configs, and how it is stored from the quantization.
What computing adds on top is proportional to the number of tokens or pixels; the factors below were found by measuring
the engine's peaks at several sizes (`flux2 bench` repeats it), and have to be found again where a network changes.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

from flux2.architecture import limits
from flux2.architecture.language_model import LanguageModelConfig, used_shapes
from flux2.architecture.levels import LEVELS, stored_bytes
from flux2.architecture.limits import DeviceType
from flux2.architecture.shapes import count
from flux2.architecture.transformer import (
    CONDITIONING_PARTS,
    Flux2TransformerConfig,
    multiplied_parts,
    part_of,
    step_parts,
    transformer_shapes,
)
from flux2.events import Phase
from flux2.inputs.checks import QUANTIZATIONS, RESIDENCIES
from flux2.planning.budget import Budget
from flux2.planning.decode_plan import decode_above, scores_of_a_chunk
from flux2.planning.encode_plan import encode_above
from flux2.planning.reference_plan import KEYS_AND_VALUES, cache_bytes, latents_held, noise_held, reference_states
from flux2.planning.run_facts import FILE_BYTES, RunFacts
from flux2.store.configs import Networks

QUANTIZING_BYTES = 2
"""Bytes for each number of a weight that a GPU quantizes at a time. On the CPU NumPy finds the codes, in memory of its
own."""
PACKING_BYTES = 3
"""Bytes beside these where codes are not bytes and are packed: counted on the CPU backend, not measured on a GPU."""
ENCODE_HELD = 4
"""Activations of a language model's layer, as so many times the hidden size for every token; two of them are the
hidden states that were taken from earlier layers."""
ENCODE_ATTENDING: dict[DeviceType, float] = {"cpu": 9.7, "gpu": 23}
"""Activations of its attention beside these, as so many times the queries' width for every token."""
ENCODE_MULTIPLYING = 2
"""Activations of its feed-forward beside these, as so many times its width for every token."""
BLOCK_WIDTHS = 18.5
"""Activations of a single-stream block on the CPU: so many times its width for every token."""
STREAMED_WIDTHS, PART_WIDTHS, TWO_PARTS_WIDTHS = 15.5, 12, 21
"""Activations of a block on a GPU, measured on an H200, as so many times its width for every token: of one whose
weights come and go, of the largest part of one, and of two parts that follow each other."""
TAKEN_ROOM = 0.8
"""Share of `limits.HEAD_START_ROOM` that is taken when the largest part is given to a GPU; all of it would be the
bound. Measured on an H200, 35 runs of klein-4b, klein-9b and dev at 1024²: every peak within 4 % of what follows."""
PROJECTED_WIDTHS, ATTENDING_WIDTHS = 14, 8.5
"""Activations of such a block while a weight is widened for its multiplication, and while the block attends."""
ROTATION_FLOATS = 1.5
"""Numbers of every token's rotation, for each feature of a head."""
LATENTS = 3
"""Copies of the latents in float32."""
BLOCK_CHUNKS = 3.0
"""Copies of a chunk's attention scores."""


class _Weight(NamedTuple):
    """A tensor of the transformer."""

    shape: tuple[int, ...]
    bits: int | None
    """Bits of its codes; None where it is not quantized."""

    @property
    def numbers(self) -> int:
        return math.prod(self.shape)


_Weights = dict[str, _Weight]
"""Tensors of the transformer by name."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What a first run will take, bytes of MLX's active memory."""

    facts: RunFacts
    weights: int
    """Bytes of the transformer's weights held while it computes: of all, or where it is streamed, of what is used and
    read ahead."""
    kept: int
    """Bytes of these, of LoRAs, and of cached references, that stay for the decode and the next run."""
    embeddings: int
    """Bytes of the prompt's embeddings, held from the first phase to the last."""
    peaks: dict[Phase, int]
    read_per_step: int = 0
    """Bytes read from the disk in a step, where the transformer is streamed."""
    read_if_prepared: int = 0
    """Bytes it would read of `flux2 quantize`'s files; 0 where they are there, or nothing is quantized."""
    drops_transformer: bool = False
    """Whether it is let go before the decode, and has to be loaded again for the next picture."""

    @property
    def peak(self) -> int:
        return max(self.peaks.values())

    @property
    def phase(self) -> Phase:
        """The one that sets the peak."""
        return max(self.peaks, key=self.peaks.__getitem__)

    def expected(self, phases: Collection[str]) -> dict[str, int]:
        """The peaks of a run through these phases only, which began with what is kept from an earlier one."""
        peaks: dict[str, int] = {phase: peak for phase, peak in self.peaks.items() if phase in phases}
        for phase in ("encode", "references"):
            if phase in peaks and "load" not in phases:
                peaks[phase] += self.kept
        return peaks

    def without_transformer(self) -> MemoryPlan:
        """A plan of the run with the transformer let go before the decode."""
        peaks: dict[Phase, int] = {**self.peaks, "decode": self.peaks["decode"] - self.kept}
        return replace(self, kept=0, peaks=peaks, drops_transformer=self.kept > 0)


def plan_all(networks: Networks, facts: RunFacts, budget: Budget | None = None) -> list[MemoryPlan]:
    """One plan per quantization and residency, the best first: kept weights go before better ones that are streamed."""
    return [
        plan(networks, replace(facts, quantization=quantization, residency=residency), budget)
        for residency, quantization in product(RESIDENCIES, QUANTIZATIONS)
    ]


def plan(networks: Networks, facts: RunFacts, budget: Budget | None = None) -> MemoryPlan:
    """The peak of every phase of a first run, in which nothing is kept from an earlier one.

    Args:
        budget: where the transformer fits it and the decode beside it does not, the transformer is let go before.
    """
    found = _plan(networks, replace(facts, text_tokens=facts.text_tokens or networks.text_tokens))
    without = found.without_transformer()
    if facts.keep_transformer and (budget is None or not budget.is_better(without.peak, found.peak)):
        return found
    return without


def _plan(networks: Networks, facts: RunFacts) -> MemoryPlan:
    tensors = _tensors(networks.transformer, facts.quantization)
    prepared = facts.quantization in networks.prepared
    embeddings = facts.prompts * facts.text_tokens * networks.transformer.joint_attention_dim
    embeddings *= facts.compute_bytes
    encoder = FILE_BYTES * count(used_shapes(networks.text_encoder)) if facts.keep_text_encoder else 0
    read_if_prepared = 0
    held, block = _denoise_held(networks.transformer, facts), _block(networks.transformer, tensors, facts)
    if facts.residency == "streamed":
        streamed = _streamed(networks.transformer, facts, prepared)
        weights, kept, load, read = streamed.weights, 0, streamed.load, streamed.read_per_step
        if LEVELS[facts.quantization].bits and not prepared:
            read_if_prepared = _streamed(networks.transformer, facts, prepared=True).read_per_step
        denoise = held + max(weights + block, streamed.converting)
    else:
        weights = kept = sum(_stored(weight, facts) for weight in tensors.values())
        load, read = weights if prepared else _load_peak(tensors, facts), 0
        denoise = weights + max(held + block, _modulating(tensors, facts))
    latents, cache = latents_held(networks.transformer, facts), cache_bytes(networks.transformer, facts)
    known, kept = encoder + embeddings + latents, kept + cache + facts.lora_bytes
    peaks: dict[Phase, int] = {"encode": encoder + _encode_peak(networks.text_encoder, facts)}
    if facts.pictures:
        peaks["references"] = encoder + embeddings + encode_above(networks.vae, facts)
    peaks |= {
        "load": known + facts.lora_bytes + load,
        "denoise": known + facts.lora_bytes + cache + denoise,
        "decode": known + kept + decode_above(networks.vae, facts),
    }
    return MemoryPlan(facts, weights, kept, embeddings, peaks, read, read_if_prepared)


def _stored(weight: _Weight, facts: RunFacts) -> int:
    """Bytes of a weight as it is kept; a Linear's stays as narrow as in the file, all else is what is computed in."""
    if weight.bits:
        return stored_bytes(weight.numbers, weight.bits)
    return weight.numbers * (facts.compute_bytes if len(weight.shape) != 2 else min(FILE_BYTES, facts.compute_bytes))


def _load_peak(tensors: _Weights, facts: RunFacts) -> int:
    """The largest weights come first; the one in work is there as read and as kept, the next as read."""
    done = peak = 0
    ordered = sorted(tensors.values(), key=lambda weight: weight.numbers, reverse=True)
    for weight, following in zip(ordered, [*ordered[1:], _Weight((0,), None)], strict=True):
        kept = _stored(weight, facts)
        read = weight.numbers * FILE_BYTES
        converted = kept != read
        ahead = following.numbers * FILE_BYTES
        peak = max(peak, done + read + converted * (kept + _quantizing(weight, facts)) + ahead)
        done += kept
    return peak


def _quantizing(weight: _Weight, facts: RunFacts) -> int:
    """Bytes of what finds a band's codes, beside the weight as read and as kept (`quantization.linear.quantize`)."""
    if not weight.bits or facts.device == "cpu":
        return 0
    each = QUANTIZING_BYTES + PACKING_BYTES * (weight.bits % 8 > 0)
    return each * min(weight.numbers, limits.QUANTIZING_NUMBERS[facts.device])


def _encode_peak(config: LanguageModelConfig, facts: RunFacts) -> int:
    """One piece of a layer computes while the next is read: the attention, or a matrix of the feed-forward."""
    hidden, feed_forward, queries = config.hidden_size, config.intermediate_size, config.queries
    attention = 2 * hidden * (queries + config.keys)
    matrix = hidden * feed_forward
    widened = facts.compute_bytes if facts.widens else 0
    of_one = facts.text_tokens * facts.compute_bytes  # for every token
    others = facts.prompts - 1

    attending: float = FILE_BYTES * (attention + matrix) + widened * hidden * queries
    attending += of_one * ENCODE_ATTENDING[facts.device] * queries
    multiplying = (2 * FILE_BYTES + widened) * matrix + of_one * (ENCODE_MULTIPLYING + others) * feed_forward
    return int(facts.prompts * of_one * ENCODE_HELD * hidden + max(attending, multiplying))


def _denoise_held(config: Flux2TransformerConfig, facts: RunFacts) -> int:
    """What denoising holds beside the weights and the block at work: latents, conditioning, other prompts' states."""
    latents = (
        LATENTS * facts.image_tokens * config.in_channels * 4 + latents_held(config, facts) + noise_held(config, facts)
    )
    others = (facts.prompts - 1) * _activation(config, facts)
    return _conditioning(config, facts) + others + latents


def _block(config: Flux2TransformerConfig, tensors: _Weights, facts: RunFacts) -> int:
    """The work in one block: of a step's tokens, or of cached references' on their own, in whichever there is more."""
    step = _work(config, tensors, facts, facts.step_tokens)
    if not facts.caches_references or not facts.reference_tokens:
        return step
    states = reference_states(config, facts)  # which a step's tokens attend to
    alone = _work(config, tensors, facts, facts.reference_tokens) - KEYS_AND_VALUES * states
    return max(step + (1 + KEYS_AND_VALUES) * states, alone + _activation(config, facts))


def _work(config: Flux2TransformerConfig, tensors: _Weights, facts: RunFacts, tokens: int) -> int:
    """The activations of so many tokens in one block, and the copies of a weight, where it is widened."""
    activation = tokens * config.width * facts.compute_bytes
    blocks = {name: weight for name, weight in tensors.items() if "transformer_blocks" in name}
    used = [weight._replace(shape=max(multiplied_parts(name, weight.shape))) for name, weight in blocks.items()]
    if facts.device == "gpu":
        return int(_block_on_gpu(activation, sorted(weight.numbers for weight in used), facts))
    widened = max(_widened(weight, facts) for weight in used)
    scores = scores_of_a_chunk(config.num_attention_heads, tokens, "cpu")
    attending = activation * ATTENDING_WIDTHS + BLOCK_CHUNKS * scores
    projecting = activation * PROJECTED_WIDTHS + widened
    return int(max(activation * BLOCK_WIDTHS, attending, projecting))


def _block_on_gpu(activation: int, weights: list[int], facts: RunFacts) -> float:
    """The activations of one block on a GPU, and the weights that are written out before they are multiplied with.

    Args:
        weights: numbers in each weight of the blocks, the smallest first.
    """
    written_out = facts.compute_bytes if LEVELS[facts.quantization].bits else 0
    *_, second, largest = sorted(set(weights))
    if facts.residency == "streamed":
        return activation * STREAMED_WIDTHS + written_out * largest
    two_parts = activation * TWO_PARTS_WIDTHS + written_out * (largest + second)
    ahead = TAKEN_ROOM * limits.HEAD_START_ROOM + activation * PART_WIDTHS + written_out * largest
    return max(two_parts, min(2 * two_parts, ahead))


def _activation(config: Flux2TransformerConfig, facts: RunFacts) -> int:
    """Bytes of all tokens, once as wide as a block."""
    return facts.step_tokens * config.width * facts.compute_bytes


def _modulating(tensors: _Weights, facts: RunFacts) -> int:
    """While the steps' modulations are computed, one after the other."""
    return max(_widened(weight, facts) for name, weight in tensors.items() if "modulation" in name)


def _conditioning(config: Flux2TransformerConfig, facts: RunFacts) -> int:
    """What the steps of a run have in common: the projected prompts, and the tokens' rotation in float32."""
    texts = facts.prompts * facts.text_tokens * config.width * facts.compute_bytes
    rotation = (
        (facts.text_tokens + facts.image_tokens + facts.reference_tokens)
        * config.attention_head_dim
        * ROTATION_FLOATS
        * 4
    )
    return int(texts + rotation)


def _widened(weight: _Weight, facts: RunFacts) -> int:
    """Bytes of what a weight is while it is multiplied with on the CPU, beside what it is kept as."""
    if facts.device == "gpu":
        return 0
    if weight.bits:
        outputs, inputs = weight.shape
        band = limits.dequantized_rows(outputs, inputs) * inputs
        return facts.compute_bytes * (band + 2 * weight.numbers // limits.GROUP)
    return facts.compute_bytes * weight.numbers if facts.widens else 0


@dataclass(frozen=True, slots=True)
class _Part:
    """Weights that are read together (`flux2.denoise.streamed_transformer`), bytes."""

    read: int
    """Bytes of the weights as they lie in the file."""
    kept: int
    """Bytes of the weights as they are computed with."""
    converting: int
    """Most bytes while they are made out of what was read, which goes tensor by tensor."""

    @classmethod
    def of(cls, weights: list[_Weight], facts: RunFacts, prepared: bool) -> _Part:
        stored = [(_filed(weight, prepared), _stored(weight, facts)) for weight in weights]
        read, kept = (sum(column) for column in zip(*stored, strict=True))
        filed, made = max(stored)
        temporary = max(_quantizing(weight, facts) for weight in weights)
        return cls(read, kept, read + (made + temporary if made != filed else 0))


@dataclass(frozen=True, slots=True)
class _Streamed:
    """What a streamed transformer takes, bytes."""

    weights: int
    """Bytes of its weights at most at a time: of a part in use, and of the next as far as it was read."""
    converting: int
    """Most bytes while a part is made out of what was read."""
    load: int
    """While the conditioning is computed."""
    read_per_step: int


def _streamed(config: Flux2TransformerConfig, facts: RunFacts, prepared: bool) -> _Streamed:
    step, groups = step_parts(config), _tensors_by_part(config, facts.quantization)
    always = sum(_stored(weight, facts) for weight in groups[""])
    first, steps = ([_Part.of(groups[path], facts, prepared) for path in paths] for paths in (CONDITIONING_PARTS, step))
    widened = max(_widened(weight, facts) for path in CONDITIONING_PARTS for weight in groups[path])

    pairs = list(pairwise([*steps, steps[0]]))
    in_use = max(part.kept + after.read for part, after in pairs)
    converting = max(part.converting + after.read for part, after in pairs)
    load = max(max(part.converting, part.kept + widened) + after.read for part, after in pairwise([*first, steps[0]]))
    conditioned = _conditioning(config, facts) + steps[0].read
    return _Streamed(
        weights=always + in_use,
        converting=always + converting,
        load=always + int(max(load, conditioned)),
        read_per_step=sum(part.read for part in steps),
    )


@lru_cache(maxsize=32)
def _tensors(config: Flux2TransformerConfig, level: str) -> _Weights:
    """The transformer's tensors; a menu plans the same network at every level, again and again."""
    shapes, found = transformer_shapes(config), LEVELS[level]
    return {name: _Weight(shape, found.bits_of(name) if len(shape) == 2 else None) for name, shape in shapes.items()}


@lru_cache(maxsize=32)
def _tensors_by_part(config: Flux2TransformerConfig, level: str) -> dict[str, list[_Weight]]:
    """The tensors that are read together, by the path of their part; "" for those that stay."""
    groups: dict[str, list[_Weight]] = {path: [] for path in ("", *CONDITIONING_PARTS, *step_parts(config))}
    for name, weight in _tensors(config, level).items():
        groups[part_of(name, groups)].append(weight)
    return groups


def _filed(weight: _Weight, prepared: bool) -> int:
    """Bytes of a weight in the file that it is read from."""
    return stored_bytes(weight.numbers, weight.bits) if prepared and weight.bits else weight.numbers * FILE_BYTES
