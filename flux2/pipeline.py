"""`Flux2Pipeline`: a prompt becomes a picture, by diffusers' names; `flux2.engine` is what happens.

>>> pipe = Flux2Pipeline.from_pretrained("klein-4b", quantization="int4")
>>> pipe("a red fox in the snow", height=1024, width=1024, seed=42).images[0].save("fox.png")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import numpy.typing as npt
from PIL import Image

from flux2 import events as ev
from flux2.backend.mlx import default_dtype, mx
from flux2.canvas.hand_in import pictures_handed_in
from flux2.denoise.steps import Step
from flux2.engine import Engine
from flux2.errors import RequestError
from flux2.inputs.checks import RESIDENCIES
from flux2.quantization.linear import find_mode
from flux2.references.reference_pictures import Images, Picture
from flux2.reporting import RunReport, warn_aloud
from flux2.request import GenerationRequest
from flux2.request_fields import check_prompts, number, whole_number
from flux2.store.resolved import resolve_model

StepCallback = Callable[["Flux2Pipeline", int, float, dict[str, mx.array]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flux2PipelineOutput:
    """What a call returns."""

    images: list[Image.Image]
    seed: int
    """Seed of the noise; it means nothing where `latents` were given."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    peaks: dict[str, int] = field(default_factory=dict)
    """Peak of MLX's active memory by phase, bytes."""


class Flux2Pipeline(Engine):
    """FLUX.2 Klein, distilled or base, and Dev. Made by `from_pretrained`."""

    @classmethod
    def from_pretrained(
        cls,
        source: str | PathLike[str],
        dtype: str | None = None,
        quantization: str = "bf16",
        say: Callable[[str], None] = lambda _: None,
        residency: str = "resident",
        vae: str | PathLike[str] | None = None,
        keep_text_encoder: bool = False,
        base: str | PathLike[str] | None = None,
        text_encoder: str | PathLike[str] | None = None,
    ) -> Flux2Pipeline:
        """Find a checkpoint, download it if need be, and check its configs and headers; tensors are read by a call.

        Args:
            source: a catalog name ("klein-4b"), a Hub repository id, a folder in the diffusers or in mflux's layout,
                or a single file of the transformer's weights (safetensors, GGUF).
            dtype: what to compute in: "bfloat16", "float16" or "float32"; None is bfloat16, on the CPU float32.
            quantization: of the transformer's Linears: "bf16" (as in the checkpoint), or another of
                `flux2.architecture.levels`, such as "int4".
            say: told in a sentence of what takes long (a download).
            residency: of the transformer: "resident", or "streamed", where its blocks are read in every step, for one
                that is larger than memory.
            vae: another autoencoder in place of the checkpoint's, such as FLUX.2's small decoder: a single file, or a
                folder or a Hub repository with its config.json and weights, or with them in vae/.
            keep_text_encoder: hold it in memory from its first prompt to `unload`; else it passes through, a few
                matrices at a time, for every new prompt.
            base: the model that a single file is of, where its shapes and its name do not tell ("klein-base-4b").
            text_encoder: another text encoder of the model's own kind: a single file, or a folder with config.json.

        Raises:
            RequestError: if a name is unknown.
            CheckpointError: if the checkpoint is not there, incomplete, damaged, or of another architecture.
        """
        find_mode(quantization)
        if residency not in RESIDENCIES:
            raise RequestError(f"Residency {residency!r} is unknown; choose one of {', '.join(RESIDENCIES)}.")
        model = resolve_model(
            fspath(source),
            fspath(vae) if vae else None,
            say,
            base=fspath(base) if base else None,
            text_encoder=fspath(text_encoder) if text_encoder else None,
        )
        pipeline = cls(
            model.checkpoint,
            dtype=dtype or default_dtype(),
            quantization=quantization,
            residency=residency,
            card=model.card,
            name=model.name,
        )
        pipeline.keep_text_encoder = keep_text_encoder
        return pipeline

    def __call__(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        *,
        image: Images | None = None,
        image_reference: Images | None = None,
        mask_image: Picture | None = None,
        strength: float | None = None,
        outpaint: Sequence[int] | None = None,
        source_as_reference: bool | None = None,
        reference_pixels: int | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float | None = None,
        seed: int | None = None,
        latents: npt.ArrayLike | mx.array | None = None,
        first_step: int = 0,
        callback_on_step_end: StepCallback | None = None,
        max_sequence_length: int | None = None,
        keep_transformer: bool = True,
        on_event: ev.EventHandler | None = None,
        should_cancel: Callable[[], bool] = lambda: False,
        run: str = "",
    ) -> Flux2PipelineOutput:
        """Make one picture.

        Args:
            negative_prompt: what the second pass of a base model is told ("" by default); others have none.
            image: reference pictures, up to 10, in the order in which the prompt calls them "image 1", "image 2"; one
                needs no list. They are PIL's, or files' paths. Each is taken as people see it, upright and on white
                where it is transparent, shrunk to a megapixel where it has more, and cropped about its centre to
                multiples of 16.
                With a strength, a mask or margins it is the picture that is changed itself, and one.
            image_reference: reference pictures beside one that is changed.
            mask_image: what of it is painted anew, a picture of any size: white is, black is kept, to the last bit.
            strength: how far it is sent back into noise: as in diffusers, of the steps of the whole schedule, which
                `num_inference_steps` then is, the last so many run; 1, as where it is None, keeps nothing but what the
                mask does. Where the number of steps is left to the model, so many run.
            outpaint: pixels that it is extended by at top, right, bottom and left.
            source_as_reference: whether it is the first reference, too; None is yes for extending alone.
            reference_pixels: what each reference is shrunk to where it has more.
            height: pixels, a multiple of 16; as for everything else here, None is the model's default, and with
                pictures the first one's. A picture that is changed is drawn at this size; where a part of it is kept,
                it comes out at its own.
            width: pixels, a multiple of 16.
            sigmas: noise levels before the shift, one per step, in place of even ones.
            seed: of the noise, 0 to 2³² − 1; None chooses one.
            latents: initial noise in place of the seed's, [1, 128, H/16, W/16].
            first_step: steps that `latents` have behind them, which are not done again.
            callback_on_step_end: called as (pipe, step index, sigma, {"latents": [1, tokens, 128]}) after each step;
                what it returns is not used.
            max_sequence_length: text tokens; None is what the checkpoint was trained with.
            keep_transformer: hold it for the next call; else it is let go before the decode, which lowers its peak.
            on_event: told of phases, steps, previews and warnings (`flux2.events`), on this thread; where nobody is,
                warnings are Python's.
            should_cancel: asked often; the call ends soon after it has said True.
            run: goes into every event.

        Raises:
            RequestError: before any work, if the arguments make no sense.
            CheckpointError: if a file can't be read to its end.
            NumericalError: if the latents or the picture hold NaN or infinity.
            GenerationCancelled: if `should_cancel` said so. Nothing of the run stays in memory then but what a call
                keeps anyway.
        """
        check_prompts(prompt, negative_prompt)
        handed_in, pictures = pictures_handed_in(
            image, image_reference, mask_image, strength, outpaint, num_inference_steps, sigmas is not None
        )
        request = GenerationRequest(
            prompt=prompt,
            negative_prompt=negative_prompt,
            model=self.name,
            quantization=self.quantization,
            residency=self.residency,
            keep_text_encoder=self.keep_text_encoder,
            width=whole_number("width", width),
            height=whole_number("height", height),
            guidance=number("guidance_scale", guidance_scale),
            seed=whole_number("seed", seed),
            loras=self.active_loras,
            sigmas=None if sigmas is None else tuple(float(sigma) for sigma in sigmas),
            max_sequence_length=whole_number("max_sequence_length", max_sequence_length),
            source_as_reference=source_as_reference,
            reference_pixels=whole_number("reference_pixels", reference_pixels),
            **handed_in,
        )

        def on_step(step: Step) -> None:
            if callback_on_step_end:
                callback_on_step_end(self, step.number - 1, step.sigma, {"latents": step.latents})

        report = RunReport(run, on_event or warn_aloud, should_cancel)
        request = self.completed(request.validated())
        picture = self.run(
            request,
            report,
            pictures=pictures,
            latents=latents,
            first_step=first_step,
            on_step=on_step,
            keep_transformer=keep_transformer,
            previews=on_event is not None,
        )
        assert request.seed is not None
        return Flux2PipelineOutput(images=[picture], seed=request.seed, timings=report.timings, peaks=report.peaks)
