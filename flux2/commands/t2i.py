"""`flux2 t2i`: from a prompt to a picture, in this process."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from flux2 import __version__, humanize
from flux2.architecture.limits import DTYPE_BYTES
from flux2.backend.awake import kept_awake
from flux2.commands.cancelling import Cancelled, CancelOnSignal
from flux2.commands.fit_question import ask_if_too_large
from flux2.commands.plan import add_budget, budget_of
from flux2.commands.request_options import add_request_options, read_request
from flux2.errors import GenerationCancelled, PictureNotSavedError
from flux2.events import DownloadProgress, Event, Logged, RunStarted, Warned
from flux2.progress import RunProgress
from flux2.request import GenerationRequest
from flux2.streams import deliver

_DESCRIPTION = """\
Make a picture from a text and print its path.

A model's own defaults hold for what is not given. The picture is saved in the
current folder under a name made of prompt and seed, and never over another file."""

_EXAMPLES = """\
examples:
  flux2 t2i "a red fox in the snow" --seed 42
  flux2 t2i "a red fox in the snow" --model klein-4b --transformer-quant int4
  flux2 t2i "a red fox" --model klein-base-4b --guidance 4 --negative-prompt "blurry"
  flux2 t2i --settings-of fox.png --seed 7
  fortune | flux2 t2i - --output pictures/ --json"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add_options(parser)
    parser.set_defaults(run=run)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What may be said of a picture and of how it is made here."""
    add_request_options(parser)
    add_budget(parser)
    add = parser.add_argument
    add("--dtype", choices=tuple(DTYPE_BYTES), help="what is computed in (default: bfloat16; float32 on the CPU)")
    add("--json", action="store_true", help="print one line of JSON instead of the path")
    add("--quiet", "-q", action="store_true", help="no progress bar and no summary")


def run(args: argparse.Namespace) -> int:
    budget = budget_of(args)
    asked = _request(args)
    somebody = sys.stdin.isatty() and sys.stderr.isatty() and not args.json
    progress = _generate(ask_if_too_large(asked, args.dtype, budget, ask=somebody), budget, args)
    told = json.dumps(result(progress)) if args.json else progress.path
    deliver(told, made=f"The picture is saved as {progress.path}.")
    if not args.json and not args.quiet:
        print(summary(progress), file=sys.stderr)
    return 0


def _request(args: argparse.Namespace) -> GenerationRequest:
    """What the arguments ask for, checked as far as it can be without the model.

    Raises:
        RequestError: if it can't be done.
        Flux2Error: if the picture could not be saved.
    """
    from flux2.pictures.images import check_writable, output_path

    request = read_request(args).validated().with_seed()
    assert request.seed is not None
    output = output_path(request.output, Path(), request, request.seed)
    check_writable(output)
    return replace(request, output=str(output))


def _generate(request: GenerationRequest, budget: int | None, args: argparse.Namespace) -> RunProgress:
    """Run the pipeline, drawing its events; returns what they came to.

    Raises:
        Cancelled: if a signal came.
        Flux2Error: as the pipeline.
    """
    from flux2.commands.progress_bar import ProgressBar

    progress = RunProgress(run="")
    shown = sys.stderr.isatty() and not args.quiet
    with CancelOnSignal() as cancel, kept_awake(), ProgressBar(progress, shown=shown) as bar:

        def on_event(event: Event) -> None:
            if isinstance(event, RunStarted):
                progress.run = event.run
            elif isinstance(event, DownloadProgress):
                bar.update_download(event)
            elif isinstance(event, Warned | Logged):
                bar.say(f"flux2: {event.message}")
            progress.apply(event)
            bar.update()

        from flux2.generate import generate  # here, for it loads MLX: seconds in which Ctrl-C must already work

        try:
            generate(
                request,
                on_event=on_event,
                should_cancel=lambda: bool(cancel.received),
                dtype=args.dtype,
                memory_budget=budget,
            )
        except GenerationCancelled:
            raise Cancelled(cancel.received) from None
        except PictureNotSavedError as error:
            from flux2.pictures.images import rescue

            raise rescue(error) from error
    return progress


def result(progress: RunProgress) -> dict[str, Any]:
    """What `--json` prints: the request as carried out, where the picture is, and what each phase took."""
    return {
        **progress.request,
        "path": progress.path,
        "seed": progress.seed,
        "seconds": round(progress.elapsed(progress.ended), 3),
        "peak_bytes": progress.peak,
        "phases": {
            phase: {"seconds": round(taken, 3), "peak_bytes": progress.peaks[phase]}
            for phase, taken in progress.seconds.items()
        },
        "step_seconds": [round(taken, 3) for taken in progress.step_seconds],
        "warnings": progress.warnings,
        "version": __version__,
    }


def summary(progress: RunProgress) -> str:
    """`seed 42 · 4.31 s (encode 0.40 s, …) · peak 412 MiB (denoise)`"""
    phases = ", ".join(f"{phase} {humanize.seconds(taken)}" for phase, taken in progress.seconds.items())
    parts = [f"seed {progress.seed}", f"{humanize.seconds(progress.elapsed(progress.ended))} ({phases})"]
    if progress.peaks:
        highest = max(progress.peaks, key=progress.peaks.__getitem__)
        parts.append(f"peak {humanize.size(progress.peaks[highest])} ({highest})")
    return " · ".join(parts)
