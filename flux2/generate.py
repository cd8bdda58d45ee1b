"""One request from beginning to end: model, picture, file; what the command line and the worker both run."""

from __future__ import annotations

import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from flux2 import events as ev
from flux2.backend import memory
from flux2.backend.mlx import default_dtype
from flux2.canvas.canvas import open_canvas
from flux2.denoise.resume import RunState, identify
from flux2.errors import Flux2Error, GenerationCancelled, RequestError
from flux2.folders import pictures_dir
from flux2.inputs.checks import AUTO
from flux2.pictures.attachments import check_kept
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import check_writable, output_path, save_png
from flux2.pipeline import Flux2Pipeline
from flux2.planning import this_machine
from flux2.planning.fit import Fit, weigh
from flux2.planning.measured_peaks import remember_peaks
from flux2.planning.run_facts import Engine
from flux2.planning.step_work import told_growth
from flux2.reporting import RunReport
from flux2.request import GenerationRequest
from flux2.settings import settings
from flux2.store.configs import Networks, networks_for
from flux2.store.resolved import ResolvedModel, resolve_model


def generate(
    request: GenerationRequest,
    on_event: ev.EventHandler = lambda _: None,
    should_cancel: Callable[[], bool] = lambda: False,
    dtype: str | None = None,
    memory_budget: int | None = None,
) -> ev.RunFinished:
    """Make one picture and keep nothing in memory. See `Generator.generate`."""
    generator = Generator(dtype, memory_budget=memory_budget, keep_transformer=False)
    return generator.generate(request, on_event=on_event, should_cancel=should_cancel)


class Generator:
    """Makes one picture after the other; keeps the last model, so that the next run of it begins at once."""

    def __init__(
        self, dtype: str | None = None, *, memory_budget: int | None = None, keep_transformer: bool = True
    ) -> None:
        """
        Args:
            dtype: what to compute in; None is the backend's best (`flux2.backend.mlx.default_dtype`).
            memory_budget: what runs may take, bytes; None is what `flux2.planning.this_machine.budget` finds.
            keep_transformer: hold it for the next run, where there is room beside the decode.
        """
        self._dtype = dtype
        self._memory_budget = memory_budget
        self._keep_transformer = keep_transformer
        self._kept: _Kept | None = None

    @property
    def model(self) -> str:
        """What is kept, for people: "klein-4b int4"; "" for nothing."""
        kept = self._kept
        return f"{kept.names[0]} {kept.pipeline.quantization}" if kept and kept.pipeline.transformer_loaded else ""

    def unload(self) -> None:
        """Let go of what is kept."""
        if self._kept:
            self._kept.pipeline.unload()
        self._kept = None

    def generate(
        self,
        request: GenerationRequest,
        *,
        run: str = "",
        on_event: ev.EventHandler = lambda _: None,
        should_cancel: Callable[[], bool] = lambda: False,
        state: Path | None = None,
    ) -> ev.RunFinished:
        """Carry the request out and tell of it by events: RunStarted … RunFinished, RunFailed or RunCancelled.

        Args:
            state: a file to keep the latents in while the run goes on (`flux2.denoise.resume`); where it is there
                already, the run is taken up from it. It stays when the run fails or is broken off, or its process dies.

        Raises:
            Flux2Error: after RunFailed; a sentence for a person. PictureNotSavedError holds the finished picture.
            GenerationCancelled: after RunCancelled, soon after `should_cancel()` has become true.
        """
        report = RunReport(run or uuid.uuid4().hex[:12], on_event, should_cancel)
        try:
            finished = self._generate(request.validated().with_seed(), report, state)
        except GenerationCancelled:
            on_event(ev.RunCancelled(run=report.run))
            raise
        except Exception as error:
            message = str(error) if isinstance(error, Flux2Error) else f"{type(error).__name__}: {error}"
            on_event(ev.RunFailed(run=report.run, message=message, details=traceback.format_exc()))
            raise
        on_event(finished)
        return finished

    def _generate(self, request: GenerationRequest, report: RunReport, state: Path | None) -> ev.RunFinished:
        began = time.perf_counter()
        check_kept(request.attachments)
        request = self._decide(request, report)
        kept_model = self._model(request, report)
        pipeline = kept_model.pipeline
        request = replace(request, base=kept_model.model.base)
        request = pipeline.completed(pipeline.with_loras_found(request, report)).validated()
        assert request.seed is not None
        path = output_path(request.output, pictures_dir(), request, request.seed, settings().output_name)
        check_writable(path)
        canvas = open_canvas(request)
        phases = pipeline.phases_of(request, canvas)
        kept = RunState(state, identify(request, pipeline.dtype, pipeline.checkpoint.stamps())) if state else None
        progress = kept.take_up(report) if kept else None
        fit = self._weigh(request, kept_model.model.networks())
        report.on_event(
            ev.RunStarted(
                run=report.run,
                request=request.to_dict(),
                phases=(*phases, "save"),
                first_step=progress.step if progress else 0,
                planned=fit.plan.expected(phases),
            )
        )
        self._prepare_memory(fit, report)
        if cost := told_growth(kept_model.model.networks().transformer, fit.plan.facts):
            report.log(f"{cost}.")
        image = pipeline.run(
            request,
            report,
            canvas=canvas,
            latents=progress.latents if progress else None,
            first_step=progress.step if progress else 0,
            on_step=kept.keeper(request, report) if kept else None,
            keep_transformer=not fit.plan.drops_transformer,
        )
        made = ImageMetadata(
            request=request, timings=dict(report.timings), peaks=dict(report.peaks), active=dict(report.active)
        )
        with report.phase("save"):
            path = save_png(image, path, made)
        remember_peaks(request, fit.plan, made.peaks)
        if kept:
            kept.forget()
        return ev.RunFinished(
            run=report.run,
            path=str(path),
            seed=request.seed,
            seconds=time.perf_counter() - began,
            peaks=report.peaks,
            timings=report.timings,
        )

    def _decide(self, request: GenerationRequest, report: RunReport) -> GenerationRequest:
        """The request with what it leaves to AUTO decided."""
        if AUTO not in (request.quantization, request.residency):
            return request
        try:
            networks = networks_for(request)
        except RequestError:  # it is on the Hub, or nowhere
            networks = _resolve(request, report).networks()
        fit = self._weigh(request, networks)
        report.log(f"Chosen as {fit.reason}: {fit.name} {fit.need}.")
        return fit.request

    def _weigh(self, request: GenerationRequest, networks: Networks) -> Fit:
        return weigh(request, networks, self._engine, this_machine.budget(self._memory_budget))

    @property
    def _engine(self) -> Engine:
        return replace(this_machine.engine(self._dtype), keep_transformer=self._keep_transformer)

    def _prepare_memory(self, fit: Fit, report: RunReport) -> None:
        """Leave no more to the allocator's cache than the plan leaves over, and say what will be noticed."""
        memory.limit_cache(fit.budget.comfortable - fit.plan.peak)
        if fit.verdict == "does not fit" and not fit.request.force:
            report.warn(f"{fit.name} {fit.need}; it may be slow, or fail.")
        if fit.plan.drops_transformer and self._keep_transformer:
            report.log("For lack of room the transformer is let go before the decode; the next picture loads it again.")

    def _model(self, request: GenerationRequest, report: RunReport) -> _Kept:
        """The one that is kept, as far as it serves this request; else a new one in its place."""
        kept, names = self._kept, (request.model, request.base, request.vae, request.text_encoder)
        if kept and kept.names == names and kept.files == kept.pipeline.checkpoint.stamps():
            kept.pipeline.keep_text_encoder = request.keep_text_encoder
            if (kept.pipeline.quantization, kept.pipeline.residency) != (request.quantization, request.residency):
                kept.pipeline = kept.pipeline.with_quantization(request.quantization, request.residency)
            return kept
        self.unload()
        model = _resolve(request, report)
        pipeline = Flux2Pipeline(
            model.checkpoint,
            dtype=self._dtype or default_dtype(),
            quantization=request.quantization,
            residency=request.residency,
            card=model.card,
            name=model.name,
        )
        pipeline.keep_text_encoder = request.keep_text_encoder
        self._kept = _Kept(names, model, pipeline, pipeline.checkpoint.stamps())
        return self._kept


@dataclass(slots=True)
class _Kept:
    names: tuple[str, str | None, str | None, str | None]
    """The request's model and base, autoencoder and text encoder."""
    model: ResolvedModel
    pipeline: Flux2Pipeline
    files: tuple[tuple[str, int, int], ...]
    """Path, size and time of change of each file when its headers were read: files change under a living worker."""


def _resolve(request: GenerationRequest, report: RunReport) -> ResolvedModel:
    """The model and the autoencoder that the request names. What is not here of them is downloaded now; cancelling the
    run stops that, and keeps what has come."""

    def on_progress(event: ev.DownloadProgress) -> None:
        report.on_event(replace(event, run=report.run))

    return resolve_model(
        request.model,
        request.vae,
        report.log,
        on_progress,
        report.should_cancel,
        base=request.base,
        text_encoder=request.text_encoder,
    )
