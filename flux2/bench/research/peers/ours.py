"""This engine's step and decode, loaded by its own loader, run as its pipeline runs them."""

# MLX brings no types:
# mypy: no-warn-return-any

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flux2 import __version__
from flux2.backend.mlx import DTYPES, mx
from flux2.bench.research.peers.contender import SIGMA, Contender, Work
from flux2.bench.research.peers.random_weights import normal, random_weight
from flux2.bench.synthetic import write_synthetic
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.loading import CheckpointWeights, install
from flux2.checkpoint.networks import TRANSFORMER, VAE_DECODER, NetworkKind, NetworkSource
from flux2.denoise.schedule import SchedulerConfig
from flux2.denoise.steps import DenoisingPlan, condition, denoise
from flux2.denoise.transformer_loading import choose_multiplications
from flux2.models.evaluation import head_start
from flux2.models.rope import image_positions, text_positions
from flux2.quantization.linear import MODES


class MlxMeter:
    """MLX's own count."""

    def reset(self) -> None:
        mx.reset_peak_memory()

    def held(self) -> int:
        return int(mx.get_active_memory())

    def peak(self) -> int:
        return int(mx.get_peak_memory())


METER = MlxMeter()


def step(work: Work, quantization: str) -> Contender:
    """One pass of the transformer; what steps have in common is computed before, as in a run."""
    network, notes = load(work, TRANSFORMER, quantization)
    return step_of(network, work, f"ours {quantization}", notes)


def exact_steps(work: Work) -> list[Contender]:
    """The step in float32, whose rounding is next to nothing, and in the work's own type, by the same network."""
    network, notes = load(work, TRANSFORMER, "bf16")
    exact = replace(work, dtype="float32")
    return [step_of(network, exact, "ours float32", notes), step_of(network, work, "ours bf16", notes)]


def step_of(
    network: Any,
    work: Work,
    name: str,
    notes: dict[str, Any] | None = None,
    *,
    batch: int = 1,
    passes: int = 1,
) -> Contender:
    """Contender of a transformer that is loaded already, for `batch` pictures at once and `passes` prompts for each."""
    embeddings = mx.repeat(mx.array(work.embeddings()).astype(DTYPES[work.dtype]), batch, axis=0)
    conditioning = network.condition(
        [embeddings] * passes,
        [SIGMA],
        text_positions(work.text_tokens),
        image_positions(*work.grid),
        work.guidance,
    )
    latents = mx.repeat(mx.array(work.latents()), batch, axis=0)
    mx.eval(conditioning, latents)

    def run() -> mx.array:
        velocities = network(latents, conditioning, 0, head_start())
        mx.eval(velocities)
        return velocities[0]

    return Contender(name, __version__, run, as_numpy, METER, notes or {})


def denoising_of(network: Any, work: Work, name: str, steps: int) -> Contender:
    """So many steps as a run makes them, from noise to clean latents."""
    plan = DenoisingPlan(
        height=work.height,
        width=work.width,
        steps=steps,
        guidance=work.guidance or 1.0,
        scheduler=SchedulerConfig.from_dict(work.architecture.scheduler),
        embeddings=mx.array(work.embeddings()).astype(DTYPES[work.dtype]),
    )
    conditioning = condition(network, plan)
    noise = mx.array(work.latents())
    mx.eval(conditioning, noise)

    def run() -> mx.array:
        *_, last = denoise(network, noise, plan, conditioning, head_start())
        return last.latents

    return Contender(name, __version__, run, as_numpy, METER)


def decode(work: Work) -> Contender:
    """One decode by the autoencoder."""
    vae, _ = load(work, VAE_DECODER, "bf16")
    rows, columns = work.grid
    latents = mx.array(normal("clean", (1, rows, columns, work.architecture.transformer["in_channels"])))
    mx.eval(latents)

    def run() -> mx.array:
        picture = vae.decode(latents)
        mx.eval(picture)
        return picture

    return Contender("ours", __version__, run, as_numpy, METER)


def as_numpy(array: mx.array) -> npt.NDArray[np.float32]:
    return np.array(array.astype(mx.float32))


def load(work: Work, kind: NetworkKind, quantization: str) -> tuple[Any, dict[str, Any]]:
    """The network as its checkpoint would load, but that its numbers are made, not read; and how it multiplies."""
    mode = MODES[quantization]
    notes: dict[str, Any] = {}
    with _source(work, kind) as source:
        if mode:
            began = time.perf_counter()
            found = choose_multiplications(
                source.plan, mode, DTYPES[work.dtype], work.text_tokens, math.prod(work.grid)
            )
            notes["choosing_seconds"] = time.perf_counter() - began
            notes["multiplications"] = [[*wanted, way] for wanted, way in found.items()]
        network = source.build()
        weights = CheckpointWeights(source.plan, mode)
        for info in source.plan.tensors:
            install(network, weights, info, [random_weight(info.name, info.shape)], DTYPES[work.dtype])
            mx.clear_cache()
    return network, notes


@contextmanager
def _source(work: Work, kind: NetworkKind) -> Iterator[NetworkSource]:
    with tempfile.TemporaryDirectory(prefix="flux2-peers-") as folder:
        checkpoint = open_checkpoint(write_synthetic(work.model, Path(folder) / work.model, work.divisor))
        yield NetworkSource.check(checkpoint, kind)
