"""Record what diffusers + PyTorch compute, for the parity tests to compare the engine with.

    python tests/parity/record.py            # random checkpoints, their runs, the schedule table
    python tests/parity/record.py --pocket   # runs of the embedded checkpoint

Needs the optional extra `reference` (torch, diffusers, transformers). Everything is seeded: the same versions on the
same machine write the same bytes. The recordings are committed; continuous integration needs none of these packages.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compare import relative_distance
from diffusers import AutoencoderKLFlux2, DiffusionPipeline, FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from PIL import Image
from random_checkpoints import CHECKPOINTS, SCHEDULER, save_random_checkpoint
from recordings import BLOCK_TOKEN_STRIDE, POCKET, POCKET_SEQUENCE_LENGTHS, RECORDINGS, checkpoint_digest
from safetensors.numpy import save_file
from transformers import AutoTokenizer

from flux2.paths import pocket_checkpoint

LONG_PROMPT = "a very long prompt about a red fox in the snow, a cat on a windowsill, two boats on a lake; " * 3
PAD_ROW_STRIDE = 32  # of the embeddings' pad rows, every 32nd is kept: all of them steer the latents anyway
FEW_TOKENS, TOKEN_ROW_STRIDE = 64, 8  # of more real tokens than so many (Dev's system message), every 8th is kept


@dataclass(frozen=True)
class Run:
    """One call of the pipeline. `blocks`: also record the inside of the first step and of the VAE."""

    prompt: str
    height: int
    width: int
    num_inference_steps: int
    max_sequence_length: int
    guidance_scale: float = 1.0
    negative_prompt: str | None = None
    seed: int = 0
    blocks: bool = False
    vae: str | None = None
    """The random checkpoint whose autoencoder takes the place of the own one."""


RUNS: dict[str, dict[str, Run]] = {
    "distilled": {
        "square": Run("A red fox in the snow, café ☕", 64, 64, 4, max_sequence_length=512, seed=11),
        "wide": Run("two boats on a lake", 64, 80, 3, max_sequence_length=64, seed=12, blocks=True),
        "small-decoder": Run("two boats on a lake", 64, 80, 1, max_sequence_length=64, seed=13, vae="base"),
    },
    "base": {
        "guided": Run("a cat on a windowsill", 80, 64, 3, 64, guidance_scale=4.0, seed=21),
        "negative": Run("a cat on a windowsill", 64, 64, 3, 64, 2.5, negative_prompt="blurry, two boats", seed=22),
        "unguided": Run("a cat at sunset", 64, 64, 2, 64, seed=23),
    },
    "odd": {
        "tall": Run("a red fox", 96, 64, 5, 48, seed=31, blocks=True),
        "cut": Run(LONG_PROMPT, 64, 64, 1, 48, seed=32),
    },
    "base-9b": {
        "guided": Run("a cat at sunset", 64, 96, 2, 64, 3.0, negative_prompt="snow", seed=41),
    },
    "dev": {
        "square": Run("A red fox in the snow, café [IMG] ☕", 64, 64, 3, 512, 4.0, seed=51),
        "tall": Run("two boats on a lake", 80, 64, 2, 160, 2.5, seed=52, blocks=True),
        "cut": Run(LONG_PROMPT, 64, 64, 1, 96, 1.0, seed=53),
    },
}

# Image tokens of 256², 768×1024, 1024², both sides of the formula's edge at 4300, and 2048²; one step to base's 50.
SCHEDULE_TOKENS = (1, 240, 256, 3072, 4096, 4300, 4301, 16384)
SCHEDULE_STEPS = (1, 2, 4, 8, 28, 50)

POCKET_RUN = Run(
    "A fluffy orange tabby cat sitting on a windowsill at sunset", 256, 256, 4, max_sequence_length=512, seed=7
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pocket", action="store_true", help="record the embedded checkpoint instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # one order of summation
    torch.set_grad_enabled(False)
    if arguments.pocket:
        record_pocket()
    else:
        record_random_checkpoints()
        record_schedules()


def record_random_checkpoints() -> None:
    for name, spec in CHECKPOINTS.items():
        shutil.rmtree(RECORDINGS / name, ignore_errors=True)
        checkpoint = RECORDINGS / name / "checkpoint"
        save_random_checkpoint(spec, checkpoint)
    for name, runs in RUNS.items():
        checkpoint = RECORDINGS / name / "checkpoint"
        for run_name, run in runs.items():
            tensors = record_run(load_reference(checkpoint, vae=run.vae), run)
            save_file(tensors, RECORDINGS / name / f"{run_name}.safetensors")
            description = {"arguments": asdict(run), "versions": versions()}
            if run.blocks:
                description["half_precision"] = half_precision_distances(checkpoint, run, tensors)
            write_json(RECORDINGS / name / f"{run_name}.json", description)
            print(
                f"{name}/{run_name}: latents std {tensors['latents'].std():.3f}, image std {tensors['image'].std():.1f}"
            )


def record_schedules() -> None:
    """The pipeline's mu and sigmas for many sizes and step counts."""
    rows = []
    for tokens in SCHEDULE_TOKENS:
        for steps in SCHEDULE_STEPS:
            scheduler = FlowMatchEulerDiscreteScheduler(**SCHEDULER)
            mu = compute_empirical_mu(image_seq_len=tokens, num_steps=steps)
            scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
            rows.append(
                {"image_tokens": tokens, "steps": steps, "mu": mu, "sigmas": rounded(scheduler.sigmas.tolist())}
            )
    lines = ",\n    ".join(json.dumps(row) for row in rows)
    text = f'{{\n  "versions": {json.dumps(versions())},\n  "schedules": [\n    {lines}\n  ]\n}}\n'
    (RECORDINGS / "schedules.json").write_text(text)


def record_pocket() -> None:
    """The embedded checkpoint from one noise, at the text length it was trained with and at the pipeline's own."""
    shutil.rmtree(POCKET, ignore_errors=True)
    POCKET.mkdir(parents=True)
    pipeline = load_reference(pocket_checkpoint())
    noise = random_noise(pipeline, POCKET_RUN).half()  # exact in float16: the run starts from what the file holds
    tensors = {"noise": as_stored(noise)}
    for length in POCKET_SEQUENCE_LENGTHS:
        image, steps = generate(pipeline, POCKET_RUN, noise.float(), max_sequence_length=length)
        tensors[f"latents_{length}"] = as_stored(steps[-1].half())
        Image.fromarray(image).save(POCKET / f"image_{length}.png", optimize=True)
    save_file(tensors, POCKET / "run.safetensors")
    description = {"checkpoint": checkpoint_digest(pocket_checkpoint()), "arguments": asdict(POCKET_RUN)}
    write_json(POCKET / "run.json", description | {"versions": versions()})


def record_run(pipeline: DiffusionPipeline, run: Run) -> dict[str, np.ndarray]:
    """Everything one run computes, from the token ids to the picture, as named arrays."""
    noise = random_noise(pipeline, run)
    tensors: dict[str, torch.Tensor] = {"noise": noise}
    tensors |= recorded_prompt(pipeline, run.prompt, run.max_sequence_length)
    if has_second_pass(pipeline, run):
        negative = recorded_prompt(pipeline, run.negative_prompt or "", run.max_sequence_length)
        tensors |= {f"negative_{name}": tensor for name, tensor in negative.items()}

    blocks: dict[str, Any] = {}
    with capture(pipeline, BLOCKS if run.blocks else {}, blocks):
        image, steps = generate(pipeline, run, noise)

    tensors |= {"sigmas": pipeline.scheduler.sigmas, "timesteps": pipeline.scheduler.timesteps}
    tensors |= {"latents": torch.stack(steps), "image": torch.from_numpy(image.copy())}
    if run.blocks:
        text, blocks["double_block_image"] = blocks.pop("double_block")
        blocks["double_block_text"] = text[:, ::BLOCK_TOKEN_STRIDE]
        blocks["single_block"] = blocks["single_block"][:, ::BLOCK_TOKEN_STRIDE]
        blocks["decoder_before_conv_out"] = blocks["decoder_before_conv_out"][:, :1]  # one channel tells enough
        blocks["rope_cos"], blocks["rope_sin"] = rope_tables(pipeline, noise, run.max_sequence_length)
        blocks |= recorded_encoder(pipeline)
        tensors |= {f"block.{name}": tensor for name, tensor in blocks.items()}
    return {name: as_stored(tensor) for name, tensor in tensors.items()}


# name in the recording → module in the pipeline whose (first) output it is
BLOCKS = {
    "time_embedding": "transformer.time_guidance_embed",
    "modulation_image": "transformer.double_stream_modulation_img",
    "modulation_text": "transformer.double_stream_modulation_txt",
    "modulation_single": "transformer.single_stream_modulation",
    "double_block": "transformer.transformer_blocks.0",
    "single_block": "transformer.single_transformer_blocks.0",
    "velocity": "transformer.proj_out",
    "decoder_mid_block": "vae.decoder.mid_block",
    "decoder_before_conv_out": "vae.decoder.conv_act",
    "decoded": "vae.decoder",
}


@contextmanager
def capture(pipeline: DiffusionPipeline, modules: dict[str, str], into: dict[str, Any]) -> Iterator[None]:
    """While open, keep each named module's first output in `into`."""

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: torch.nn.Module, _arguments: Any, output: Any) -> None:
            into.setdefault(name, output)

        return hook

    handles = []
    for name, path in modules.items():
        part, _, module = path.partition(".")
        handles.append(getattr(pipeline, part).get_submodule(module).register_forward_hook(keep(name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def load_reference(checkpoint: Path, dtype: torch.dtype = torch.float32, vae: str | None = None) -> DiffusionPipeline:
    """The pipeline that model_index.json names; its tokenizer by itself, without a processor of pictures around it."""
    parts: dict[str, Any] = {"tokenizer": None}
    if vae:
        parts["vae"] = AutoencoderKLFlux2.from_pretrained(RECORDINGS / vae / "checkpoint" / "vae", dtype=dtype)
    pipeline = DiffusionPipeline.from_pretrained(checkpoint, dtype=dtype, local_files_only=True, **parts)
    pipeline.register_modules(tokenizer=AutoTokenizer.from_pretrained(checkpoint / "tokenizer"))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def has_second_pass(pipeline: DiffusionPipeline, run: Run) -> bool:
    """Only Klein's undistilled models have one."""
    return pipeline.config.get("is_distilled") is False and run.guidance_scale > 1


def random_noise(pipeline: DiffusionPipeline, run: Run) -> torch.Tensor:
    """Normal noise [1, channels, H/16, W/16]."""
    pixels_per_token = 2 * pipeline.vae_scale_factor
    shape = (1, pipeline.transformer.config.in_channels, run.height // pixels_per_token, run.width // pixels_per_token)
    return torch.randn(shape, generator=torch.Generator().manual_seed(run.seed))


def generate(
    pipeline: DiffusionPipeline, run: Run, noise: torch.Tensor, max_sequence_length: int | None = None
) -> tuple[np.ndarray, list[torch.Tensor]]:
    """The real pipeline's picture [H, W, 3] uint8, and the packed latents [1, tokens, channels] after every step."""
    length = max_sequence_length or run.max_sequence_length
    steps: list[torch.Tensor] = []

    def keep_latents(_pipeline: Any, _step: int, _timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
        steps.append(tensors["latents"].clone())
        return {}

    negative = {}
    if run.negative_prompt is not None:
        embeddings, _ = pipeline.encode_prompt(run.negative_prompt, max_sequence_length=length)
        negative["negative_prompt_embeds"] = embeddings
    image = pipeline(
        prompt=run.prompt,
        height=run.height,
        width=run.width,
        num_inference_steps=run.num_inference_steps,
        guidance_scale=run.guidance_scale,
        latents=noise,
        max_sequence_length=length,
        callback_on_step_end=keep_latents,
        **negative,
    ).images[0]
    return np.asarray(image), steps


def recorded_prompt(pipeline: DiffusionPipeline, prompt: str, length: int) -> dict[str, torch.Tensor]:
    """Token ids, attention mask, and the embeddings of real tokens and some pads (`prompt_rows` says which)."""
    seen: dict[str, torch.Tensor] = {}

    def keep(_module: torch.nn.Module, _arguments: Any, named: dict[str, torch.Tensor]) -> None:
        seen.update(named)

    handle = pipeline.text_encoder.register_forward_pre_hook(keep, with_kwargs=True)
    embeddings, _ = pipeline.encode_prompt(prompt, max_sequence_length=length)
    handle.remove()
    positions = torch.arange(length)
    is_token = seen["attention_mask"][0] == 1
    stride = TOKEN_ROW_STRIDE if is_token.sum() > FEW_TOKENS else 1
    rows = positions[is_token & (positions % stride == 0) | (positions % PAD_ROW_STRIDE == PAD_ROW_STRIDE - 1)]
    return {
        "input_ids": seen["input_ids"],
        "attention_mask": seen["attention_mask"],
        "prompt_rows": rows,
        "prompt_embeds": embeddings[:, rows],
    }


def half_precision_distances(checkpoint: Path, run: Run, exact: dict[str, np.ndarray]) -> dict[str, float]:
    """How far the reference itself is from its float32 latents when it computes in fewer bits."""
    distances = {}
    for dtype in (torch.bfloat16, torch.float16):
        _, steps = generate(load_reference(checkpoint, dtype, run.vae), run, torch.from_numpy(exact["noise"]))
        distance = relative_distance(steps[-1].float(), exact["latents"][-1])
        distances[str(dtype).removeprefix("torch.")] = round(distance, 5)
    return distances


def rope_tables(pipeline: DiffusionPipeline, noise: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """cos and sin [text + image tokens, head_dim], each frequency twice in a row, as diffusers lays them out."""
    text_ids = pipeline._prepare_text_ids(torch.zeros(1, length, 1))[0]
    image_ids = pipeline._prepare_latent_ids(noise)[0]
    return pipeline.transformer.pos_embed(torch.cat([text_ids, image_ids]))


def recorded_encoder(pipeline: DiffusionPipeline) -> dict[str, torch.Tensor]:
    """A small picture, its latents' mode, and those patchified and normalised, as for a reference image."""
    picture = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (1, 3, 32, 48), dtype=np.uint8))
    pixels = picture.float() / 127.5 - 1.0
    return {
        "encoder_picture": picture,
        "encoder_mode": pipeline.vae.encode(pixels).latent_dist.mode(),
        "encoder_normalised": pipeline._encode_vae_image(pixels, generator=None),
    }


def as_stored(tensor: torch.Tensor) -> np.ndarray:
    """Token ids in 32 bits; everything else as it is."""
    array = tensor.detach().contiguous().numpy()
    return array.astype(np.int32) if array.dtype == np.int64 else array


def rounded(values: list[float]) -> list[float]:
    """Nine significant digits: what a float32 needs to be read back exactly."""
    return [float(f"{value:.9g}") for value in values]


def versions() -> dict[str, str]:
    return {package: version(package) for package in ("torch", "diffusers", "transformers", "numpy")}


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
