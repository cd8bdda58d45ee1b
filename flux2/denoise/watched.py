"""Denoising as a run's watchers see it: each step told, the picture so far drawn beside it, a cancel heard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flux2 import events as ev
from flux2.backend import memory
from flux2.backend.mlx import mx
from flux2.denoise.preview import DrawnPreview, PreviewProjection
from flux2.denoise.preview_drawing import PreviewsAside, previews_aside
from flux2.denoise.steps import DenoisingPlan, Step, denoise
from flux2.denoise.transformer_loading import ReadyTransformer
from flux2.models.transformer import Conditioning
from flux2.reporting import RunReport

OnStep = Callable[[Step], None]
"""Called after each step; what it raises ends the run."""


def denoise_watched(
    ready: ReadyTransformer,
    noise: mx.array,
    plan: DenoisingPlan,
    conditioning: Conditioning,
    report: RunReport,
    projection: PreviewProjection | None,
    on_step: OnStep | None,
) -> mx.array:
    """Clean latents, packed, float32 [1, tokens, channels].

    Args:
        noise: where to begin, packed.
        projection: from latents to the colours of previews; None draws none.

    Raises:
        CheckpointError: if a streamed transformer's file can't be read to its end.
        NumericalError: if the latents hold NaN or infinity after a step.
        GenerationCancelled: if the run was cancelled.
    """
    latents, waited = noise, ready.waited()
    with _previews(projection, plan, report) as previews:

        def after_block(*_: mx.array) -> None:
            report.check_cancelled()
            if previews:
                previews.tell_if_done()

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
            if previews:
                previews.begin(step.number, step.estimate)
            if on_step:
                on_step(step)
    return latents


@contextmanager
def _previews(
    projection: PreviewProjection | None, plan: DenoisingPlan, report: RunReport
) -> Iterator[PreviewsAside | None]:
    """Previews of a run, each an event; None where none are wanted."""
    if projection is None:
        yield None
        return

    def tell(step: int, drawn: DrawnPreview) -> None:
        report.on_event(ev.Preview(run=report.run, step=step, steps=plan.steps, **drawn._asdict()))

    with previews_aside(lambda tokens: projection.draw(tokens, *plan.grid), tell) as previews:
        yield previews
