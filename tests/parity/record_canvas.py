"""Record what diffusers computes from a source picture: image-to-image and inpainting, with and without references.

    python tests/parity/record_canvas.py

All of it is done by `Flux2KleinInpaintPipeline`, for Dev with Dev's embeddings and guidance handed to it. Needs the
optional extra `reference`; see `record.py`.
"""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import torch
from canvas_recordings import CANVAS, EDITS, HEIGHT, WIDTH, Edit
from diffusers import Flux2KleinInpaintPipeline
from PIL import Image
from record import as_stored, load_reference
from recordings import RECORDINGS
from safetensors.numpy import save_file

REFERENCE_SIZE = (64, 96)  # of another shape than the source


class Recorded(Flux2KleinInpaintPipeline):
    """The pipeline, with what it drew and encoded kept, and its references taken out where there are to be none."""

    without_references = False
    kept: dict[str, torch.Tensor]

    def prepare_latents(self, image: torch.Tensor, *arguments: Any, **named: Any) -> Any:
        # Of pixels that lie channels-last torch's GroupNorm errs by 1e-3.
        found = super().prepare_latents(image.contiguous(), *arguments, **named)
        _, noise, clean, _, _ = found
        self.kept |= {"noise": noise, "clean": clean}
        return found

    def prepare_image_latents(self, images: list[torch.Tensor], *arguments: Any, **named: Any) -> Any:
        latents, ids = super().prepare_image_latents([image.contiguous() for image in images], *arguments, **named)
        return (latents[:, :0], ids[:, :0]) if self.without_references else (latents, ids)

    def prepare_mask_latents(self, *arguments: Any, **named: Any) -> torch.Tensor:
        mask = super().prepare_mask_latents(*arguments, **named)
        self.kept["mask"] = mask.reshape(HEIGHT // 16, WIDTH // 16)
        return mask


def main() -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    shutil.rmtree(CANVAS, ignore_errors=True)
    CANVAS.mkdir()
    for name, edit in EDITS.items():
        tensors = record(edit)
        save_file({key: as_stored(tensor) for key, tensor in tensors.items()}, CANVAS / f"{name}.safetensors")
        print(f"{name}: {len(tensors['latents'])} steps from {tensors['sigmas'][0]:.3f}")


def record(edit: Edit) -> dict[str, torch.Tensor]:
    """Everything that `canvas_recordings.edit_recording` names."""
    reference = load_reference(RECORDINGS / edit.checkpoint / "checkpoint")
    parts = {
        name: getattr(reference, name) for name in ("scheduler", "vae", "text_encoder", "tokenizer", "transformer")
    }
    pipeline = Recorded(**parts, is_distilled=reference.config.get("is_distilled", True))
    pipeline.set_progress_bar_config(disable=True)
    pipeline.kept, pipeline.without_references = {}, not edit.source_as_reference
    if edit.checkpoint == "dev":
        give_guidance(pipeline.transformer, edit.guidance_scale)

    source, other = picture(edit.seed, WIDTH, HEIGHT), picture(edit.seed + 100, *REFERENCE_SIZE)
    mask = some_mask() if edit.masked else np.full((HEIGHT, WIDTH), 255, np.uint8)
    latents: list[torch.Tensor] = []

    def keep(_pipeline: Any, _step: int, _timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
        latents.append(tensors["latents"].clone())
        return {}

    embeddings, _ = reference.encode_prompt(edit.prompt, max_sequence_length=edit.max_sequence_length)
    image = pipeline(
        prompt_embeds=embeddings,
        image=Image.fromarray(source),
        mask_image=Image.fromarray(mask),
        image_reference=Image.fromarray(other) if edit.reference else None,
        strength=edit.strength,
        num_inference_steps=edit.num_inference_steps,
        guidance_scale=edit.guidance_scale,
        generator=torch.Generator().manual_seed(edit.seed),
        max_sequence_length=edit.max_sequence_length,
        callback_on_step_end=keep,
    ).images[0]
    found = pipeline.kept | {
        "source": torch.from_numpy(source),
        "sigmas": pipeline.scheduler.sigmas[-len(latents) - 1 : -1],
        "latents": torch.stack(latents),
        "image": torch.from_numpy(np.array(image)),
    }
    return found | {"reference": torch.from_numpy(other)} if edit.reference else found


def give_guidance(transformer: torch.nn.Module, scale: float) -> None:
    """Dev's transformer is told its guidance; Klein's pipeline has none to tell."""

    def with_guidance(_module: Any, arguments: Any, named: dict[str, Any]) -> Any:
        return arguments, named | {"guidance": torch.tensor([scale])}

    transformer.register_forward_pre_hook(with_guidance, with_kwargs=True)


def picture(seed: int, width: int, height: int) -> np.ndarray:
    """A picture [height, width, 3] of soft colours with some grain."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    return np.clip(soft + random.integers(-20, 21, soft.shape), 0, 255).astype(np.uint8)


def some_mask() -> np.ndarray:
    """A mask [height, width] of whole tokens, without symmetry."""
    tokens = np.zeros((HEIGHT // 16, WIDTH // 16), np.uint8)
    tokens[1:3, 2:4] = tokens[0, 3] = tokens[3, 0] = 255
    return tokens.repeat(16, axis=0).repeat(16, axis=1)


if __name__ == "__main__":
    main()
