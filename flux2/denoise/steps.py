"""The way from noise to clean latents: one pass of the transformer per step, two with classifier-free guidance."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flux2.architecture.limits import TOKEN_PIXELS
from flux2.backend.mlx import mx, on_cpu
from flux2.denoise.schedule import SchedulerConfig, clean_estimate, euler_step, guided_velocity, levels_of_run
from flux2.denoise.source import Source
from flux2.errors import NumericalError, RequestError
from flux2.lora.branches import Branches
from flux2.models.evaluation import AfterBlock, Evaluate, InFlight
from flux2.models.reference_cache import ReferenceCache
from flux2.models.rope import image_positions, reference_positions, text_positions
from flux2.models.transformer import Conditioning, Flux2Transformer2DModel, References, finish_step
from flux2.references.encoding import EncodedPicture
from flux2.request import GenerationRequest


class Step(NamedTuple):
    """One denoising step, done."""

    number: int
    """1 for the first."""
    sigma: float
    """The noise level it started from."""
    seconds: float
    latents: mx.array
    """Latents at the next noise level; packed, float32 [1, tokens, channels]."""
    estimate: mx.array
    """x0 = x − σ·v: the clean latents as far as they can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoisingPlan:
    """What a run's denoising needs to know beyond the weights."""

    height: int
    """Pixels."""
    width: int
    steps: int
    """Steps that run."""
    guidance: float
    scheduler: SchedulerConfig
    embeddings: mx.array
    """Embeddings of the prompt, [1, text tokens, joint_attention_dim]; their dtype is the one computed in."""
    negative_embeddings: mx.array | None = None
    """Embeddings of the negative prompt, where there is a second pass per step."""
    references: Sequence[EncodedPicture] = ()
    """The reference pictures, in the order in which a prompt counts them."""
    cache: ReferenceCache | None = None
    """Where what the transformer makes of them is kept, for models that were trained for it."""
    first_step: int = 0
    """Steps that the latents have behind them already, from a run that was broken off."""
    own_sigmas: tuple[float, ...] | None = None
    """Noise levels before the shift, one per step; None for even ones."""
    branches: Branches = field(default_factory=dict)
    """LoRAs beside the transformer's matrices."""
    strength: float = 1.0
    """How far the run begins in noise; below 1 its steps are the last of a longer schedule."""
    source: Source | None = None
    """The picture that is changed itself, of which what is kept is put back after every step."""

    @classmethod
    def of(
        cls,
        request: GenerationRequest,
        embeddings: Sequence[mx.array],
        scheduler: SchedulerConfig,
        references: Sequence[EncodedPicture] = (),
        source: Source | None = None,
        first_step: int = 0,
        branches: Branches | None = None,
    ) -> DenoisingPlan:
        """The plan of a request with every default filled in.

        Args:
            embeddings: of the prompt and, where there is a second pass per step, of the negative one.
            branches: of the request's LoRAs.
        """
        assert request.width and request.height and request.steps and request.guidance is not None
        return cls(
            height=request.height,
            width=request.width,
            steps=request.steps,
            guidance=request.guidance,
            scheduler=scheduler,
            embeddings=embeddings[0],
            negative_embeddings=embeddings[1] if len(embeddings) > 1 else None,
            references=references,
            first_step=first_step,
            strength=1.0 if request.strength is None else request.strength,
            source=source,
            own_sigmas=request.sigmas,
            branches=branches or {},
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width in tokens."""
        return self.height // TOKEN_PIXELS, self.width // TOKEN_PIXELS

    @property
    def image_tokens(self) -> int:
        """Tokens of the picture, and of the references where they go with every step."""
        references = () if self.cache else self.references
        return math.prod(self.grid) + sum(picture.latents.shape[1] for picture in references)

    def start(self, noise: mx.array) -> mx.array:
        """Where the run begins: in its first noise, or at less than full strength in a source as noisy as that."""
        return self.source.noised(self.sigmas[0]) if self.source else noise

    @property
    def sigmas(self) -> list[float]:
        """Noise levels that the run goes through, one more than its steps, the last 0."""
        own = self.own_sigmas
        return levels_of_run(self.steps, self.strength, math.prod(self.grid), self.scheduler, own)


def pack(latents: mx.array) -> mx.array:
    """[1, channels, H/16, W/16] → [1, tokens, channels], row by row."""
    return latents.flatten(2).swapaxes(1, 2)


def unpack(latents: mx.array, height: int, width: int) -> mx.array:
    """Undo `pack`; height and width in pixels."""
    rows, columns = height // TOKEN_PIXELS, width // TOKEN_PIXELS
    return latents.swapaxes(1, 2).reshape(1, -1, rows, columns)


def as_latents(latents: npt.ArrayLike | mx.array, channels: int, height: int, width: int) -> mx.array:
    """A user's own initial noise as float32.

    Raises:
        RequestError: if it is no array, its shape is not [1, channels, H/16, W/16], or it is not finite.
    """
    try:
        array = latents if isinstance(latents, mx.array) else mx.array(np.asarray(latents, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise RequestError(f"The latents are no array of numbers ({error}); give NumPy's or MLX's.") from error
    wanted = (1, channels, height // TOKEN_PIXELS, width // TOKEN_PIXELS)
    if tuple(array.shape) != wanted:
        raise RequestError(
            f"The latents have the shape {list(array.shape)}; a {width}×{height} picture needs {list(wanted)}."
        )
    if not _finite(array):
        raise RequestError("The latents hold NaN or infinity; give finite noise.")
    return array.astype(mx.float32)


def condition(transformer: Flux2Transformer2DModel, plan: DenoisingPlan) -> Conditioning:
    """What the steps of a run have in common, for each of its passes."""
    prompts = [plan.embeddings] if plan.negative_embeddings is None else [plan.embeddings, plan.negative_embeddings]
    references = None
    if plan.references:
        latents = mx.concatenate([picture.latents for picture in plan.references], axis=1)
        positions = reference_positions(picture.grid for picture in plan.references)
        references = References(latents, positions, plan.cache)
    return transformer.condition(
        prompts,
        plan.sigmas[:-1],
        text_positions(plan.embeddings.shape[1]),
        image_positions(*plan.grid),
        plan.guidance,
        references,
    )


def denoise(
    transformer: Flux2Transformer2DModel,
    latents: mx.array,
    plan: DenoisingPlan,
    conditioning: Conditioning,
    evaluate: Evaluate = mx.eval,
    after_block: AfterBlock = lambda *_: None,
    ahead: bool | None = None,
) -> Iterator[Step]:
    """Every step from the plan's first on as it is done, beginning with noise, or latents, as `pack` gives them.

    Args:
        conditioning: of this plan, by `condition`.
        evaluate: see the transformer.
        after_block: called with the results of each of the transformer's blocks; may raise.
        ahead: whether the first block of the next step is computed while the caller works with this one, which then
            costs no time; None is yes where a GPU computes.

    Raises:
        NumericalError: if the latents hold NaN or infinity after a step.
    """
    ahead = not on_cpu() if ahead is None else ahead
    began = time.perf_counter()
    done: _Computed | None = None
    for index, (sigma, sigma_next) in islice(enumerate(pairwise(plan.sigmas)), plan.first_step, None):
        blocks = transformer.blocks(latents, conditioning, index, evaluate)
        if done:
            after_block(*next(blocks))
            yield done.step(plan, began)
            began = done.ended
        velocity, *others = (velocity.astype(mx.float32) for velocity in finish_step(blocks, after_block))
        for other in others:
            velocity = guided_velocity(velocity, other, plan.guidance)
        estimate = clean_estimate(latents, velocity, sigma)
        latents = euler_step(latents, velocity, sigma, sigma_next)
        if plan.source:
            latents, estimate = plan.source.put_back(latents, sigma_next), plan.source.put_back(estimate, 0.0)
        done = _Computed(index + 1, sigma, latents, estimate)
        del velocity, others, estimate
        if not ahead or index + 1 == plan.steps:
            yield done.step(plan, began)
            done, began = None, time.perf_counter()


class _Computed:
    """A step that a GPU may still be working on."""

    def __init__(self, number: int, sigma: float, latents: mx.array, estimate: mx.array) -> None:
        self._number, self._sigma, self._latents, self._estimate = number, sigma, latents, estimate
        self._in_flight = InFlight(latents, estimate)
        self.ended = 0.0
        """When it was seen to be done, by `time.perf_counter`."""

    def step(self, plan: DenoisingPlan, began: float) -> Step:
        """Wait for it. Raises NumericalError if it is not finite."""
        if not self._in_flight.arrived():
            raise NumericalError(
                f"The latents became NaN or infinite in step {self._number} of {plan.steps} "
                f"(computed in {_name(plan.embeddings.dtype)}); choose another dtype, or another checkpoint."
            )
        self.ended = time.perf_counter()
        return Step(self._number, self._sigma, self.ended - began, self._latents, self._estimate)


def _finite(array: mx.array) -> bool:
    return bool(mx.isfinite(array).all().item())


def _name(dtype: mx.Dtype) -> str:
    return str(dtype).rpartition(".")[2]
