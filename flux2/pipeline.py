"""`Flux2Pipeline`: a prompt becomes a picture, phase by phase, with no more in memory than the phase needs.

>>> pipe = Flux2Pipeline.from_pretrained("klein-4b", quantization="int4")
>>> pipe("a red fox in the snow", height=1024, width=1024, seed=42).images[0].save("fox.png")

Names are diffusers'. The text encoder is gone before the transformer comes; the transformer and the embeddings of the
last prompt stay for the next call, until `unload`.
"""

from __future__ import annotations

import functools
import secrets
import threading
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from flux2 import events as ev
from flux2.architecture.catalog import ModelCard, find_card
from flux2.architecture.guidance import DEFAULTS, is_guided
from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.backend import memory
from flux2.backend.cpu import blas
from flux2.backend.gpu_errors import explain
from flux2.backend.mlx import BLAS_COMPLAINT, DTYPES, default_dtype, mx
from flux2.call_arguments import check_prompts, number, whole_number
from flux2.checkpoint.finite import with_its_cause
from flux2.checkpoint.layout import Checkpoint, open_checkpoint
from flux2.checkpoint.networks import TRANSFORMER, VAE_DECODER, VAE_ENCODER, NetworkSource, check_fit
from flux2.denoise.preview import DrawnPreview, PreviewProjection, find_projection
from flux2.denoise.preview_drawing import PreviewsAside, previews_aside
from flux2.denoise.schedule import SchedulerConfig
from flux2.denoise.steps import DenoisingPlan, as_latents, condition, denoise, initial_noise, pack
from flux2.denoise.transformer_loading import TransformerLoader
from flux2.encode.text_encoding import PromptEncoder
from flux2.errors import Flux2Error, NumericalError, RequestError
from flux2.quantization.linear import find_mode
from flux2.reporting import RunReport, evaluating, warn_aloud
from flux2.request import MAX_SEED, RESIDENCIES, GenerationRequest
from flux2.store.local import resolve_name
from flux2.store.source import find_checkpoint, find_vae

LARGE_NETWORK = 1 << 30  # bytes of the transformer as stored, above which several threads pay (CPU backend only)

_P = ParamSpec("_P")
_R = TypeVar("_R")

_one_at_a_time = threading.RLock()
"""Held by whoever computes: MLX's memory and cache are the process's, and two threads that evaluate while one of them
empties the cache hang or abort (MLX 0.32.4)."""

StepCallback = Callable[["Flux2Pipeline", int, float, dict[str, mx.array]], Any]


def _alone(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """The method, waiting for other threads that compute."""

    @functools.wraps(method)
    def alone(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _one_at_a_time:
            try:
                return method(*args, **kwargs)
            finally:
                if threading.current_thread() is not threading.main_thread():
                    mx.clear_streams()  # this thread's own, whose threads would else abort the process at its exit

    return alone


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


class Flux2Pipeline:
    """FLUX.2 Klein, distilled or base, and Dev. Made by `from_pretrained`; of several threads
    one computes at a time, and the others wait."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        dtype: str,
        quantization: str,
        residency: str = "resident",
        card: ModelCard | None = None,
    ) -> None:
        """Check everything that configs and headers tell; read no tensor. See `from_pretrained`."""
        if dtype not in DTYPES:
            raise RequestError(f"The dtype {dtype!r} is unknown; choose one of {', '.join(DTYPES)}.")
        self.checkpoint = checkpoint
        self.card = card
        self.dtype = dtype
        self.quantization = quantization
        self.residency = residency
        mode = find_mode(quantization)
        self._scheduler = SchedulerConfig.from_dict(checkpoint.scheduler.config)
        transformer = NetworkSource.check(checkpoint, TRANSFORMER)
        if mode:
            transformer.plan.check_quantization(mode)
        self._decoder_source = NetworkSource.check(checkpoint, VAE_DECODER)
        text_encoder = NetworkSource.check_text_encoder(checkpoint)
        check_fit(transformer, text_encoder, self._decoder_source)
        self._prompts = PromptEncoder(text_encoder, checkpoint.tokenizer_folder, DTYPES[dtype])
        self._transformer = TransformerLoader(transformer, mode, DTYPES[dtype], streamed=residency == "streamed")
        self._projection: PreviewProjection | None = None

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
    ) -> Flux2Pipeline:
        """Find a checkpoint, download it if need be, and check its configs and headers; tensors are read by a call.

        Args:
            source: a catalog name ("klein-4b"), a Hub repository id, or a folder in the diffusers layout.
            dtype: what to compute in: "bfloat16", "float16" or "float32"; None is bfloat16, on the CPU float32.
            quantization: of the transformer's Linears: "bf16" (as in the checkpoint), "qint8" or "int4".
            say: told in a sentence of what takes long (a download).
            residency: of the transformer: "resident", or "streamed", where its blocks are read in every step, for one
                that is larger than memory.
            vae: another autoencoder in place of the checkpoint's, such as FLUX.2's small decoder: a folder or a Hub
                repository with its config.json and weights, or with them in vae/.
            keep_text_encoder: hold it in memory from its first prompt to `unload`; else it passes through, a few
                matrices at a time, for every new prompt.

        Raises:
            RequestError: if a name is unknown.
            CheckpointError: if the checkpoint is not there, incomplete, damaged, or of another architecture.
        """
        find_mode(quantization)
        if residency not in RESIDENCIES:
            raise RequestError(f"Residency {residency!r} is unknown; choose one of {', '.join(RESIDENCIES)}.")
        model = resolve_name(fspath(source))
        folder, vae_folder = find_checkpoint(model, say), find_vae(resolve_name(fspath(vae)), say) if vae else None
        pipeline = cls(
            open_checkpoint(folder, vae_folder),
            dtype=dtype or default_dtype(),
            quantization=quantization,
            residency=residency,
            card=find_card(model),
        )
        pipeline.keep_text_encoder = keep_text_encoder
        return pipeline

    def with_quantization(self, quantization: str, residency: str | None = None) -> Flux2Pipeline:
        """Pipeline of this checkpoint at another level or residency, with the prompt's embeddings and no weights."""
        other = Flux2Pipeline(
            self.checkpoint,
            dtype=self.dtype,
            quantization=quantization,
            residency=residency or self.residency,
            card=self.card,
        )
        other._prompts, other._projection = self._prompts, self._projection
        return other

    @property
    def keep_text_encoder(self) -> bool:
        """Whether the text encoder stays in memory between prompts; may be changed between calls."""
        return self._prompts.resident

    @keep_text_encoder.setter
    def keep_text_encoder(self, keep: bool) -> None:
        self._prompts.keep_resident(keep)

    @property
    def default_size(self) -> tuple[int, int]:
        """Width and height, in pixels."""
        if self.card:
            return self.card.size
        side: int = self._decoder_source.config.sample_size
        return side, side

    @property
    def default_steps(self) -> int:
        return self.card.steps if self.card else DEFAULTS[self.checkpoint.guidance][0]

    @property
    def default_guidance(self) -> float:
        return self.card.guidance if self.card else DEFAULTS[self.checkpoint.guidance][1]

    @property
    def transformer_loaded(self) -> bool:
        """Whether it is kept whole, so that a call needs no phase "load"; never so where it is streamed."""
        return self._transformer.is_loaded

    def phases(
        self, prompt: str, negative_prompt: str | None = None, guidance_scale: float | None = None
    ) -> tuple[ev.Phase, ...]:
        """Those that a call would go through now: what is kept from the last one is left out."""
        guidance = self.default_guidance if guidance_scale is None else guidance_scale
        known = self._prompts.knows(self._texts(prompt, negative_prompt, guidance), None)
        kept = {"encode": known, "load": self.transformer_loaded}
        return tuple(phase for phase in ev.PHASES if not kept.get(phase) and phase != "save")

    @_alone
    def __call__(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
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
            height: pixels, a multiple of 16; as for everything else here, None is the model's default.
            width: pixels, a multiple of 16.
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
        default_width, default_height = self.default_size
        width, height = whole_number("width", width, default_width), whole_number("height", height, default_height)
        steps = whole_number("num_inference_steps", num_inference_steps, self.default_steps)
        guidance = number("guidance_scale", guidance_scale, self.default_guidance)
        seed = whole_number("seed", seed, secrets.randbelow(MAX_SEED + 1))
        check_prompts(prompt, negative_prompt)
        GenerationRequest(
            prompt=prompt, width=width, height=height, steps=steps, guidance=guidance, seed=seed
        ).validated()
        length = None if max_sequence_length is None else whole_number("max_sequence_length", max_sequence_length, 0)
        if length is not None and not 1 <= length <= MAX_TEXT_TOKENS:
            raise RequestError(f"max_sequence_length {length} is out of range; choose 1 to {MAX_TEXT_TOKENS}.")
        if first_step and (latents is None or not 0 < first_step < steps):
            raise RequestError(f"first_step {first_step} needs the latents after so many of the {steps} steps.")
        channels = self._transformer.source.config.in_channels
        noise = initial_noise(seed, channels, height, width)
        if latents is not None:
            noise = as_latents(latents, channels, height, width)

        report = RunReport(run, on_event or warn_aloud, should_cancel)
        self._warn(report, width, height, guidance, negative_prompt)
        blas.use_all_cores(self._transformer.source.plan.nbytes >= LARGE_NETWORK)
        try:
            embeddings = self._prompts.encode(self._texts(prompt, negative_prompt, guidance), length, report)
            plan = DenoisingPlan(
                height=height,
                width=width,
                steps=steps,
                guidance=guidance,
                scheduler=self._scheduler,
                embeddings=embeddings[0],
                negative_embeddings=embeddings[1] if len(embeddings) > 1 else None,
                first_step=first_step,
            )
            clean = self._denoise(pack(noise), plan, callback_on_step_end, report, previews=on_event is not None)
            if not keep_transformer:
                self._transformer.forget()
                memory.free_cache()
            image = self._decode(clean.reshape(1, *plan.grid, -1), report)
        except (RuntimeError, MemoryError) as error:
            known = explain(str(error) or "out of memory")
            if known is None:
                raise
            if not known.out_of_memory:
                raise Flux2Error(known.sentence) from error
            raise Flux2Error(
                f"There is not enough memory for {width}×{height} with {self.quantization} weights ({error}); choose a "
                "smaller size, a smaller quantization or a smaller model."
            ) from error
        except Flux2Error as error:
            traceback.clear_frames(error.__traceback__)  # whose variables would hold arrays until it is handled
            if isinstance(error, NumericalError):
                raise with_its_cause(error, self.checkpoint, report.go_on) from error
            raise
        finally:
            memory.free_cache()
        return Flux2PipelineOutput(images=[image], seed=seed, timings=report.timings, peaks=report.peaks)

    @_alone
    def load_transformer(
        self, on_event: ev.EventHandler | None = None, should_cancel: Callable[[], bool] = lambda: False
    ) -> None:
        """Load and quantize the transformer now instead of in the first call; nothing where it is streamed.

        Raises:
            CheckpointError: if a file can't be read to its end.
            GenerationCancelled: if `should_cancel` said so.
        """
        if self.residency == "resident":
            self._transformer.load(RunReport("", on_event or warn_aloud, should_cancel))

    @_alone
    def unload(self) -> None:
        """Let go of everything that is kept between calls."""
        self._transformer.forget()
        self._prompts.forget()
        memory.free_cache()

    def _texts(self, prompt: str, negative_prompt: str | None, guidance: float) -> list[str]:
        """The prompt and, for true classifier-free guidance, the negative one."""
        return [prompt, negative_prompt or ""] if is_guided(self.checkpoint.guidance, guidance) else [prompt]

    def _warn(self, report: RunReport, width: int, height: int, guidance: float, negative_prompt: str | None) -> None:
        """What is allowed and yet not what was meant, perhaps."""
        if BLAS_COMPLAINT:
            report.warn(BLAS_COMPLAINT)
        if self.card and self.card.only_these_sizes and (width, height) not in self.card.sizes:
            sizes = ", ".join(f"{w}×{h}" for w, h in self.card.sizes)
            report.warn(f"{self.card.name} was trained for {sizes} only; {width}×{height} may not look right.")
        if self.checkpoint.guidance == "distilled" and guidance != 1.0:
            report.warn(f"This model is distilled and has its guidance built in; guidance {guidance:g} does nothing.")
        if negative_prompt and self.checkpoint.guidance != "classifier-free":
            report.warn("This model is distilled; the negative prompt does nothing.")
        elif negative_prompt and guidance <= 1.0:
            report.warn("The negative prompt does nothing at guidance 1 or less.")

    def _denoise(
        self,
        noise: mx.array,
        plan: DenoisingPlan,
        callback: StepCallback | None,
        report: RunReport,
        *,
        previews: bool,
    ) -> mx.array:
        """Clean latents, packed, float32."""
        latents = noise
        with self._transformer.ready(plan, report) as ready, report.phase("denoise"), ExitStack() as stack:
            waited = ready.waited()
            conditioning = ready.conditioning or condition(ready.network, plan)
            drawn = stack.enter_context(self._previews(plan, report)) if previews else None

            def after_block(*_: mx.array) -> None:
                report.go_on()
                if drawn:
                    drawn.tell_if_done()

            for step in denoise(ready.network, noise, plan, conditioning, ready.evaluate, after_block):
                latents = step.latents
                waited, waited_before = ready.waited(), waited
                report.on_event(
                    ev.StepFinished(
                        run=report.run,
                        step=step.number,
                        steps=plan.steps,
                        sigma=step.sigma,
                        seconds=step.seconds,
                        waited=waited - waited_before,
                        memory=memory.read(),
                    )
                )
                if drawn:
                    drawn.begin(step.number, step.estimate)
                if callback:
                    callback(self, step.number - 1, step.sigma, {"latents": latents})
        return latents

    def _previews(self, plan: DenoisingPlan, report: RunReport) -> AbstractContextManager[PreviewsAside]:
        projection = self._projection = self._projection or find_projection(self.checkpoint.vae, self._load_encoder)

        def tell(step: int, drawn: DrawnPreview) -> None:
            report.on_event(ev.Preview(run=report.run, step=step, steps=plan.steps, **drawn._asdict()))

        return previews_aside(lambda tokens: projection.draw(tokens, *plan.grid), tell)

    def _decode(self, latents: mx.array, report: RunReport) -> Image.Image:
        """The picture of clean latents [1, H/16, W/16, channels]."""
        with report.phase("decode"):
            vae = self._decoder_source.load(DTYPES[self.dtype], on_bytes=lambda _: report.go_on())
            stages = report.progress("decode", len(vae.decode_stages()), "stages")
            picture = vae.decode(latents, evaluating(stages), keep_weights=False)
            if not mx.isfinite(picture).all().item():
                raise NumericalError(
                    f"The decoded picture holds NaN or infinity (computed in {self.dtype}); choose another dtype."
                )
            pixels = mx.round(mx.clip((picture[0].astype(mx.float32) + 1) * 127.5, 0, 255)).astype(mx.uint8)
            image = Image.fromarray(np.array(pixels))
            del vae, picture, pixels
        return image

    def _load_encoder(self) -> Any:
        return NetworkSource.check(self.checkpoint, VAE_ENCODER).load(DTYPES[self.dtype])
