"""`Engine`: a request becomes a picture, phase by phase, with no more in memory than the phase needs.

The text encoder is gone before the transformer comes; the transformer and the embeddings of the last prompt stay for
the next run, until `unload`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Self

import numpy.typing as npt
from PIL import Image

from flux2 import events as ev
from flux2.architecture.catalog import ModelCard, label
from flux2.architecture.guidance import DEFAULTS, is_guided
from flux2.architecture.limits import TOKEN_PIXELS
from flux2.backend import blas, memory
from flux2.backend.gpu_errors import explain
from flux2.backend.mlx import BLAS_COMPLAINT, DTYPES, mx
from flux2.backend.one_at_a_time import one_at_a_time
from flux2.canvas.canvas import Canvas, open_canvas
from flux2.checkpoint.finite import with_its_cause
from flux2.checkpoint.layout import Checkpoint
from flux2.checkpoint.networks import TRANSFORMER, VAE_DECODER, VAE_ENCODER, NetworkSource, check_fit
from flux2.decode.decoding import decode
from flux2.denoise.noise import noise_of
from flux2.denoise.preview import PreviewProjection, find_projection
from flux2.denoise.schedule import SchedulerConfig, told_beginning
from flux2.denoise.steps import DenoisingPlan, as_latents, condition, pack
from flux2.denoise.transformer_loading import TransformerLoader
from flux2.denoise.watched import OnStep, denoise_watched
from flux2.encode.text_encoding import PromptEncoder
from flux2.errors import Flux2Error, NumericalError, RequestError
from flux2.inputs.loras import Lora
from flux2.lora.held import HeldLoras
from flux2.lora.loader_mixin import LoraLoaderMixin
from flux2.models.reference_cache import ReferenceCache
from flux2.planning.cautions import cautions
from flux2.planning.output_size import output_size, reference_pixels
from flux2.quantization.linear import find_mode
from flux2.references.picture_encoder import Encodable, PictureEncoder
from flux2.references.reference_pictures import Pictures, encodable
from flux2.reporting import RunReport, warn_aloud
from flux2.request import GenerationRequest


class Engine(LoraLoaderMixin):
    """A checkpoint at one level and residency, and what is kept of it between runs. Of several threads one computes at
    a time, and the others wait."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        dtype: str,
        quantization: str,
        residency: str = "resident",
        card: ModelCard | None = None,
        name: str = "",
    ) -> None:
        """Check everything that configs and headers tell; read no tensor. See `Flux2Pipeline.from_pretrained`."""
        if dtype not in DTYPES:
            raise RequestError(f"The dtype {dtype!r} is unknown; choose one of {', '.join(DTYPES)}.")
        self.checkpoint = checkpoint
        self.card = card
        self.name = name or (card.name if card else str(checkpoint.place))
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
        self._pictures = PictureEncoder(checkpoint, DTYPES[dtype])
        self._projection: PreviewProjection | None = None
        self.cache_references = checkpoint.caches_references
        """Whether references are computed once for all steps, as klein-9b-kv was trained for: they see only each other,
        and cost every step but the first next to nothing. Another checkpoint draws worse so."""
        self._loras = HeldLoras(transformer.config, DTYPES[dtype], label(self.name))
        self._adapters: dict[str, Lora] = {}
        self._active: tuple[str, ...] = ()

    def with_quantization(self, quantization: str, residency: str | None = None) -> Self:
        """Pipeline of this checkpoint at another level or residency, with the prompt's embeddings and no weights."""
        other = type(self)(
            self.checkpoint,
            dtype=self.dtype,
            quantization=quantization,
            residency=residency or self.residency,
            card=self.card,
            name=self.name,
        )
        other._prompts, other._pictures, other._projection = self._prompts, self._pictures, self._projection
        other._loras, other._adapters, other._active = self._loras, self._adapters, self._active
        other.cache_references = self.cache_references
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
        self,
        prompt: str,
        negative_prompt: str | None = None,
        guidance_scale: float | None = None,
        max_sequence_length: int | None = None,
    ) -> tuple[ev.Phase, ...]:
        """Phases that a call with these arguments would go through now: what is kept from the last one is left out."""
        known = self._prompts.knows(self._texts(prompt, negative_prompt, guidance_scale), max_sequence_length)
        kept = {"encode": known, "load": self.transformer_loaded}
        return tuple(phase for phase in ev.PHASES_OF_TEXT if not kept.get(phase) and phase != "save")

    def phases_of(self, request: GenerationRequest, canvas: Canvas | None) -> tuple[ev.Phase, ...]:
        """Phases that a run of this request, its defaults filled in, and on its canvas would go through now."""
        phases = self.phases(request.prompt, request.negative_prompt, request.guidance, request.max_sequence_length)
        if not self._pictures.knows(self._encodables(request, canvas)):
            phases = tuple(phase for phase in ev.PHASES if phase in (*phases, "references"))
        return phases

    def completed(self, request: GenerationRequest) -> GenerationRequest:
        """The request with what it leaves to its LoRAs and the model, and its seed, filled in."""
        request = self._loras.recipe(request.loras).fill(request)
        width, height = output_size(request, self.card, self.default_size)
        return replace(
            request,
            width=width,
            height=height,
            reference_pixels=reference_pixels(request, self.card) if request.references else request.reference_pixels,
            steps=self.default_steps if request.steps is None else request.steps,
            guidance=self.default_guidance if request.guidance is None else request.guidance,
        ).with_seed()

    @one_at_a_time
    def run(
        self,
        request: GenerationRequest,
        report: RunReport,
        *,
        canvas: Canvas | None = None,
        pictures: Pictures = MappingProxyType({}),
        latents: npt.ArrayLike | mx.array | None = None,
        first_step: int = 0,
        on_step: OnStep | None = None,
        keep_transformer: bool = True,
        previews: bool = True,
    ) -> Image.Image:
        """The picture of a request whose model, level and residency are this engine's.

        `Flux2Pipeline.__call__` says what the arguments mean and what is raised; `report` tells the watchers and
        remembers the rest.

        Args:
            canvas: the request's, where it was opened already.
            pictures: those of the request's attachments that are in memory; the others are read from the store.
        """
        # 1. Check, before any work, what the request leaves open being the model's; its LoRAs fit the transformer.
        request = self.completed(self.with_loras_found(request.validated(), report)).validated()
        canvas = canvas or open_canvas(request, pictures)
        noise, taken_up = self._noise(request, latents, first_step)
        self._warn(report, request, canvas)
        for sentence in self._loras.summaries(request.loras):
            report.log(sentence)
        blas.use_cores_for(self._transformer.source.plan.nbytes)
        with self._failures_explained(request, report):
            # 2. Encode the prompt, and where there is classifier-free guidance the negative one.
            texts = self._texts(request.prompt, request.negative_prompt, request.guidance)
            embeddings = self._prompts.encode(texts, request.max_sequence_length, report)
            # 3. Encode the pictures that were handed in, those that are new.
            encodables = self._encodables(request, canvas, pictures)
            encoded = self._pictures.encode(encodables, report)
            source = canvas.source(encoded[0], noise) if canvas else None
            shown = slice(1 if canvas and not request.shows_source else 0, None)
            branches = self._loras.branches(request.loras, lambda _: report.check_cancelled())
            plan = DenoisingPlan.of(
                request, embeddings, self._scheduler, encoded[shown], source, first_step=first_step, branches=branches
            )
            plan = replace(plan, cache=self._reference_cache(request, encodables[shown]))
            start = plan.start(noise) if taken_up is None else taken_up
            with self._transformer.ready(plan, report) as ready, report.phase("denoise"):
                # 4. Condition the transformer on the prompt and on the noise levels of all steps.
                conditioning = ready.conditioning or condition(ready.network, plan)
                # 5. Denoise, step by step, from noise to clean latents.
                projection = self._preview_projection() if previews else None
                clean = denoise_watched(ready, start, plan, conditioning, report, projection, on_step)
            grid = plan.grid
            # What denoising held goes, among it a transformer, LoRAs and cached references that are not kept.
            del ready, conditioning, noise, taken_up, start, plan, branches, encoded, source
            if not keep_transformer:
                self._transformer.forget()
                self._loras.forget()
                memory.free_cache()
            # 6. Decode the latents into pixels, and lay these over the source.
            image = self._decode(clean.reshape(1, *grid, -1), report)
            return canvas.finished(image) if canvas else image

    @one_at_a_time
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

    @one_at_a_time
    def unload(self) -> None:
        """Let go of everything that is kept between calls."""
        self._transformer.forget()
        self._loras.forget()
        self._prompts.forget()
        self._pictures.forget()
        memory.free_cache()

    def _texts(self, prompt: str, negative_prompt: str | None, guidance: float | None) -> list[str]:
        """The prompt and, for true classifier-free guidance, the negative one."""
        guidance = self.default_guidance if guidance is None else guidance
        return [prompt, negative_prompt or ""] if is_guided(self.checkpoint.guidance, guidance) else [prompt]

    def _encodables(
        self, request: GenerationRequest, canvas: Canvas | None, pictures: Pictures = MappingProxyType({})
    ) -> list[Encodable]:
        """The pictures of a request: the source, where it has one, then the references in their order."""
        source = [canvas.encodable] if canvas else []
        return source + [encodable(attachment, request.reference_pixels, pictures) for attachment in request.references]

    def _reference_cache(self, request: GenerationRequest, pictures: Sequence[Encodable]) -> ReferenceCache | None:
        """Where what the transformer makes of the references is kept, for this run and the next with the same ones."""
        if not self.cache_references or not pictures:
            self._transformer.forget_references()
            return None
        of_run = (request.steps, request.guidance, request.loras)
        return self._transformer.reference_cache([*(picture.key for picture in pictures), *of_run])

    def _noise(
        self, request: GenerationRequest, latents: npt.ArrayLike | mx.array | None, first_step: int
    ) -> tuple[mx.array, mx.array | None]:
        """The first noise of a run, a user's own latents, else that of the seed; and the latents that it is taken up
        from, or None; both packed.

        Raises:
            RequestError: if the latents are no such array, or the first step needs some and there are none.
        """
        assert request.width and request.height and request.steps and request.seed is not None
        if first_step and (latents is None or not 0 < first_step < request.steps):
            raise RequestError(f"first_step {first_step} needs the latents after so many of the {request.steps} steps.")
        channels = self._transformer.source.config.in_channels
        given = None if latents is None else pack(as_latents(latents, channels, request.height, request.width))
        if given is not None and not first_step:
            return given, None
        return pack(noise_of(request, channels)), given

    def _decode(self, latents: mx.array, report: RunReport) -> Image.Image:
        return decode(latents, self._decoder_source, DTYPES[self.dtype], report)

    def _warn(self, report: RunReport, request: GenerationRequest, canvas: Canvas | None) -> None:
        if BLAS_COMPLAINT:
            report.warn(BLAS_COMPLAINT)
        remarks = canvas.remarks if canvas else []
        for caution in (*cautions(request, self.card, self.checkpoint.guidance), *remarks):
            report.warn(caution)
        if request.strength is not None:
            assert request.width and request.height and request.steps
            tokens = request.width // TOKEN_PIXELS * (request.height // TOKEN_PIXELS)
            report.log(f"{told_beginning(request.steps, request.strength, tokens, self._scheduler, request.sigmas)}.")

    @contextmanager
    def _failures_explained(self, request: GenerationRequest, report: RunReport) -> Iterator[None]:
        """What goes wrong within is raised as a sentence with a remedy, and leaves nothing in memory."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            known = explain(str(error) or "out of memory")
            if known is None:
                raise
            if not known.out_of_memory:
                raise Flux2Error(known.sentence) from error
            raise Flux2Error(
                f"There is not enough memory for {request.width}×{request.height} with {self.quantization} weights "
                f"({error}); choose a smaller size, a smaller quantization or a smaller model."
            ) from error
        except Flux2Error as error:
            traceback.clear_frames(error.__traceback__)  # whose variables would hold arrays until it is handled
            if isinstance(error, NumericalError):
                raise with_its_cause(error, self.checkpoint, report.check_cancelled) from error
            raise
        finally:
            memory.free_cache()

    def _preview_projection(self) -> PreviewProjection:
        self._projection = self._projection or find_projection(self.checkpoint.vae, self._load_vae_encoder)
        return self._projection

    def _load_vae_encoder(self) -> Any:
        return NetworkSource.check(self.checkpoint, VAE_ENCODER).load(DTYPES[self.dtype])
