"""A recorded run done again by the engine, and in what its results differ from the recording's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from compare import IMAGE_PSNR_DB, RELATIVE_LIMIT, SIGMA_LIMIT, psnr, relative_error
from recordings import Recording

from flux2 import Flux2Pipeline
from flux2.backend.mlx import mx
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.networks import NetworkSource
from flux2.encode.text_encoding import PromptEncoder
from flux2.reporting import RunReport

ARGUMENTS = (
    "prompt",
    "negative_prompt",
    "height",
    "width",
    "num_inference_steps",
    "guidance_scale",
    "max_sequence_length",
)


@dataclass(frozen=True)
class EngineRun:
    """What the engine computed."""

    sigmas: list[float]
    """The noise level that each step started from."""
    latents: np.ndarray
    """Packed, after each step: [steps, 1, tokens, channels]."""
    image: np.ndarray
    """[H, W, 3], uint8."""


def generate(run: Recording, *, dtype: str = "float32", quantization: str = "bf16", **changed: Any) -> EngineRun:
    """The public pipeline with the recording's noise, unless `changed` says otherwise, and its arguments likewise."""
    sigmas: list[float] = []
    latents: list[np.ndarray] = []

    def keep(_pipe: Flux2Pipeline, _step: int, sigma: float, tensors: dict[str, mx.array]) -> None:
        sigmas.append(sigma)
        latents.append(np.array(tensors["latents"]))

    pipe = Flux2Pipeline.from_pretrained(run.checkpoint, dtype=dtype, quantization=quantization, vae=run.vae)
    arguments = {name: run.arguments[name] for name in ARGUMENTS} | {"latents": run["noise"]} | changed
    output = pipe(**arguments, callback_on_step_end=keep)
    return EngineRun(sigmas, np.stack(latents), np.asarray(output.images[0]))


def encode(run: Recording) -> dict[str, np.ndarray]:
    """The embeddings of the run's prompts, under the recording's names and of the rows that it keeps."""
    checkpoint = open_checkpoint(run.checkpoint)
    source = NetworkSource.check_text_encoder(checkpoint)
    prompts = {"": run.arguments["prompt"]}
    if "negative_prompt_embeds" in run.tensors:
        prompts["negative_"] = run.arguments["negative_prompt"] or ""
    encoder = PromptEncoder(source, checkpoint.tokenizer_folder, mx.float32)
    embeddings = encoder.encode(list(prompts.values()), run.arguments["max_sequence_length"], RunReport())
    return {
        f"{prefix}prompt_embeds": np.array(embedding)[:, run[f"{prefix}prompt_rows"]]
        for prefix, embedding in zip(prompts, embeddings, strict=True)
    }


def differences(run: Recording, ours: EngineRun, embeddings: dict[str, np.ndarray]) -> dict[str, str]:
    """What is further from the recording than its limit allows: name → measured and limit. Parity is an empty dict."""
    errors = [("sigmas", float(np.abs(np.array(ours.sigmas) - run["sigmas"][:-1]).max()), SIGMA_LIMIT)]
    for name, embedding in embeddings.items():
        errors.append((name, relative_error(embedding, run[name]), RELATIVE_LIMIT))
    for step, (latents, reference) in enumerate(zip(ours.latents, run["latents"], strict=True), start=1):
        errors.append((f"latents after step {step}", relative_error(latents, reference), RELATIVE_LIMIT))
    found = {name: f"error {error:.2g}, limit {limit:g}" for name, error, limit in errors if not error <= limit}
    decibels = psnr(ours.image, run["image"], peak=255)
    if decibels < IMAGE_PSNR_DB:
        found["image"] = f"{decibels:.1f} dB, limit {IMAGE_PSNR_DB:g}"
    return found
