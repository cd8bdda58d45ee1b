"""Record what diffusers + PyTorch compute of reference pictures: `python tests/parity/record_references.py`.

The random checkpoints are those of `record.py`; nothing of a picture is stored but the digest of what was made of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, Flux2KleinKVPipeline
from record import as_stored, load_reference, versions
from recordings import RECORDINGS
from reference_pictures import PICTURES, TEN
from reference_recordings import REFERENCES, SIDE, noise_of
from safetensors.numpy import save_file

ENCODED = ["grey", "CMYK"]
PROMPT, LENGTH = "the cat of image 1 at night", 64


@dataclass(frozen=True)
class Run:
    """One call with `image`."""

    checkpoint: str
    pictures: list[str]
    cached: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


KINDS = {1: ["tall"], 2: ["transparent", "palette"], 3: ["8:1", "64×64", "turned"], 10: TEN}
FAMILIES: dict[str, dict[str, Any]] = {
    "distilled": {},
    "base": {"guidance_scale": 4.0},
    "dev": {"guidance_scale": 2.5, "max_sequence_length": 192},
}
RUNS = (
    {
        f"{family}/{count}": Run(family, pictures, arguments=arguments)
        for family, arguments in FAMILIES.items()
        for count, pictures in KINDS.items()
    }
    | {
        "distilled/large": Run("distilled", ["large"], arguments={"num_inference_steps": 1}),
    }
    | {
        f"cached/{count}": Run("distilled", KINDS[count], cached=True, arguments={"num_inference_steps": 3})
        for count in (1, 3)
    }
)


def main() -> None:
    torch.set_num_threads(1)  # one order of summation
    torch.set_grad_enabled(False)
    shutil.rmtree(REFERENCES, ignore_errors=True)
    REFERENCES.mkdir()
    runs: dict[str, Any] = {}
    tensors: dict[str, np.ndarray] = {}
    for number, (name, run) in enumerate(RUNS.items()):
        seed = 100 + number
        described = {"prompt": PROMPT, "negative_prompt": None, "height": SIDE, "width": SIDE}
        described |= {"num_inference_steps": 2, "guidance_scale": 1.0, "max_sequence_length": LENGTH, **run.arguments}
        made = record_run(pipeline_of(run), run, described, seed)
        tensors |= {f"{name}.{key}": as_stored(value) for key, value in made.items()}
        runs[name] = {
            "checkpoint": run.checkpoint,
            "pictures": run.pictures,
            "cached": run.cached,
            "seed": seed,
            "arguments": described,
        }
        print(f"{name}: latents std {made['latents'].std():.3f}", flush=True)
    save_file(tensors, REFERENCES / "runs.safetensors")
    pipeline = pipeline_of(Run("distilled", []))
    save_file({name: as_stored(encoded(pipeline, name)) for name in ENCODED}, REFERENCES / "encoded.safetensors")
    content = {"versions": versions(), "prepared": {name: prepared(pipeline, name) for name in PICTURES}, "runs": runs}
    (REFERENCES / "runs.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def pipeline_of(run: Run) -> DiffusionPipeline:
    """The reference, whose encoder gets tensors as they lie in memory everywhere: of Pillow's, whose channels come
    last, PyTorch's GroupNorm on the CPU is 1e-3 off."""
    pipeline = load_reference(RECORDINGS / run.checkpoint / "checkpoint")
    if run.cached:
        parts = {name: pipeline.components[name] for name in pipeline.components if name != "is_distilled"}
        pipeline = Flux2KleinKVPipeline(**parts)
        pipeline.set_progress_bar_config(disable=True)
    encode = pipeline.vae.encode
    pipeline.vae.encode = lambda image, *rest, **named: encode(image.contiguous(), *rest, **named)
    return pipeline


def record_run(pipeline: DiffusionPipeline, run: Run, described: dict[str, Any], seed: int) -> dict[str, torch.Tensor]:
    """The latents after the last step."""
    channels = pipeline.transformer.config.in_channels
    noise = torch.from_numpy(noise_of(seed, channels))
    steps: list[torch.Tensor] = []

    def keep(_pipeline: Any, _step: int, _timestep: Any, named: dict[str, torch.Tensor]) -> dict[str, Any]:
        steps.append(named["latents"].clone())
        return {}

    unknown = {"negative_prompt"} | ({"guidance_scale"} if run.cached else set())
    arguments = {name: value for name, value in described.items() if name not in unknown}
    images = [PICTURES[name]() for name in run.pictures]
    pipeline(**arguments, image=images, latents=noise, callback_on_step_end=keep, output_type="latent")
    return {"latents": steps[-1]}


def preprocessed(pipeline: DiffusionPipeline, name: str) -> torch.Tensor:
    """A picture as the pipelines prepare it, [1, 3, height, width], −1 to 1: what they do is in their `__call__`."""
    processor, image = pipeline.image_processor, PICTURES[name]()
    processor.check_image_input(image)
    if image.width * image.height > 1024 * 1024:
        image = processor._resize_to_target_area(image, 1024 * 1024)
    width, height = (side // 16 * 16 for side in image.size)
    return processor.preprocess(image, height=height, width=width, resize_mode="crop")


def prepared(pipeline: DiffusionPipeline, name: str) -> dict[str, Any]:
    """Size and digest of the pixels that are encoded of a picture."""
    pixels = ((preprocessed(pipeline, name)[0] + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous().numpy()
    height, width, _ = pixels.shape
    return {"size": [width, height], "digest": hashlib.sha256(pixels.tobytes()).hexdigest()}


def encoded(pipeline: DiffusionPipeline, name: str) -> torch.Tensor:
    """Clean latents of a picture, packed."""
    return pipeline._pack_latents(pipeline._encode_vae_image(preprocessed(pipeline, name), generator=None))


if __name__ == "__main__":
    main()
