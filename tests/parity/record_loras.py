"""Record what diffusers + PyTorch compute with a LoRA, and with noise levels of one's own.

    python tests/parity/record_loras.py

Needs the optional extra `reference`, as `record.py` does, whose way of loading and of seeding this is.
"""

from __future__ import annotations

import json

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from random_checkpoints import SCHEDULER
from record import Run, as_stored, load_reference, random_noise, rounded, versions, write_json
from recordings import LORA, RECORDINGS
from safetensors.numpy import save_file

SIGMAS = [1.0, 0.6509, 0.4374, 0.2932, 0.1893, 0.1108, 0.0495, 0.00031]
"""https://huggingface.co/fal/FLUX.2-dev-Turbo"""
RANK = 2
SCALES = (1.0, 0.5)
RUN = Run("A red fox in the snow", 64, 64, len(SIGMAS), max_sequence_length=64, guidance_scale=2.5, seed=21)
TOKENS = (1, 16, 256, 1024, 4096, 4301)


def main() -> None:
    LORA.mkdir(exist_ok=True)
    pipeline = load_reference(RECORDINGS / "dev" / "checkpoint")
    matrices = {
        name: module for name, module in pipeline.transformer.named_modules() if isinstance(module, torch.nn.Linear)
    }
    generator = np.random.default_rng(17)
    lora = {}
    for name, module in matrices.items():
        for side, shape in (("A", (RANK, module.in_features)), ("B", (module.out_features, RANK))):
            lora[f"transformer.{name}.lora_{side}.weight"] = generator.standard_normal(shape, dtype=np.float32) * 0.1
    save_file(lora, LORA / "lora.safetensors")
    noise = random_noise(pipeline, RUN)
    tensors = {"noise": as_stored(noise)}
    pipeline.load_lora_weights(str(LORA / "lora.safetensors"), adapter_name="it")
    for scale in SCALES:
        pipeline.set_adapters("it", scale)
        tensors[f"latents at {scale:g}"] = last_latents(pipeline, noise)
    save_file(tensors, LORA / "run.safetensors")
    arguments = {
        "prompt": RUN.prompt,
        "height": RUN.height,
        "width": RUN.width,
        "num_inference_steps": len(SIGMAS),
        "guidance_scale": RUN.guidance_scale,
        "max_sequence_length": RUN.max_sequence_length,
        "sigmas": SIGMAS,
    }
    write_json(LORA / "run.json", {"arguments": arguments, "schedules": schedules(), "versions": versions()})


def last_latents(pipeline: object, noise: torch.Tensor) -> np.ndarray:
    """Packed latents after the last step, [1, tokens, channels]."""
    found: list[torch.Tensor] = []

    def keep(_pipeline: object, _step: int, _timestep: object, tensors: dict[str, torch.Tensor]) -> dict[str, object]:
        found.append(tensors["latents"].clone())
        return {}

    pipeline(  # type: ignore[operator]
        prompt=RUN.prompt,
        height=RUN.height,
        width=RUN.width,
        num_inference_steps=len(SIGMAS),
        sigmas=SIGMAS,
        guidance_scale=RUN.guidance_scale,
        latents=noise,
        max_sequence_length=RUN.max_sequence_length,
        callback_on_step_end=keep,
    )
    return as_stored(found[-1])


def schedules() -> list[dict[str, object]]:
    """The noise levels that the pipeline makes of these for pictures of several sizes."""
    rows: list[dict[str, object]] = []
    for tokens in TOKENS:
        scheduler = FlowMatchEulerDiscreteScheduler(**SCHEDULER)
        scheduler.set_timesteps(sigmas=SIGMAS, mu=compute_empirical_mu(image_seq_len=tokens, num_steps=len(SIGMAS)))
        rows.append({"image_tokens": tokens, "sigmas": rounded(scheduler.sigmas.tolist())})
    return json.loads(json.dumps(rows))


if __name__ == "__main__":
    main()
