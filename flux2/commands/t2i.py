"""`flux2 t2i`: from a prompt to a picture, in this process."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from flux2 import __version__, humanize
from flux2.architecture.catalog import MODELS
from flux2.architecture.limits import DTYPE_BYTES
from flux2.backend.awake import kept_awake
from flux2.commands.cancelling import Cancelled, CancelOnSignal
from flux2.commands.fit_question import ask_if_too_large
from flux2.commands.plan import add_budget, budget_of
from flux2.errors import GenerationCancelled, PictureNotSavedError, RequestError
from flux2.events import DownloadProgress, Event, Logged, RunStarted, Warned
from flux2.progress import RunProgress
from flux2.request import (
    AUTO,
    MAX_PROMPT,
    MAX_SEED,
    MAX_SIZE,
    MAX_STEPS,
    MIN_SIZE,
    QUANTIZATIONS,
    RESIDENCIES,
    SIZE_MULTIPLE,
    GenerationRequest,
)
from flux2.streams import deliver, read_input

_DESCRIPTION = """\
Make a picture from a text and print its path.

A model's own defaults hold for what is not given. The picture is saved in the
current folder under a name made of prompt and seed, and never over another file."""

_EXAMPLES = """\
examples:
  flux2 t2i "a red fox in the snow" --seed 42
  flux2 t2i "a red fox in the snow" --model klein-4b --transformer-quant int4
  flux2 t2i "a red fox" --model klein-base-4b --guidance 4 --negative-prompt "blurry"
  fortune | flux2 t2i - --output pictures/ --json"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "t2i",
        help="make a picture from a text",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("prompt", metavar="PROMPT", help="what the picture shows; - reads it from standard input")
    add("--model", metavar="MODEL", help=f"{', '.join(MODELS)}, a Hub repository, or a checkpoint's folder")
    add(
        "--transformer-quant",
        choices=(*QUANTIZATIONS, AUTO),
        default="bf16",
        help="the transformer's weights; auto is the best that fits (default: bf16)",
    )
    add(
        "--residency",
        choices=(*RESIDENCIES, AUTO),
        default="resident",
        help="keep the transformer in memory, or read its blocks in every step (default: resident)",
    )
    add("--keep-text-encoder", action="store_true", help="hold the whole text encoder instead of a layer at a time")
    add("--vae", metavar="FOLDER|REPO", help="another autoencoder, such as FLUX.2's small decoder")
    add_budget(parser)
    add("--force", action="store_true", help="run although the plan says that it does not fit this machine")
    size = f"pixels, {MIN_SIZE} to {MAX_SIZE}, a multiple of {SIZE_MULTIPLE}"
    add("--width", type=int, metavar="W", help=size)
    add("--height", type=int, metavar="H", help=size)
    add("--steps", type=int, metavar="N", help=f"denoising steps, 1 to {MAX_STEPS}")
    add("--guidance", type=float, metavar="G", help="how strictly the prompt is followed; 1 is off for Klein")
    add("--negative-prompt", metavar="TEXT", help="what to stay away from (models with guidance above 1)")
    add(
        "--seed", type=int, metavar="S", help=f"0 to {MAX_SEED}; the same seed draws the same picture (default: random)"
    )
    add("--output", "-o", metavar="PATH", help="the PNG, or a folder ending in / to name it in")
    add("--dtype", choices=tuple(DTYPE_BYTES), help="what is computed in (default: bfloat16; float32 on the CPU)")
    add("--json", action="store_true", help="print one line of JSON instead of the path")
    add("--quiet", "-q", action="store_true", help="no progress bar and no summary")
    parser.set_defaults(run=run)


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
    from flux2.store.local import default_model, resolve_name

    request = GenerationRequest(
        prompt=_from_standard_input() if args.prompt == "-" else _as_typed(args.prompt),
        negative_prompt=args.negative_prompt and _as_typed(args.negative_prompt),
        model=resolve_name(args.model) if args.model else default_model(),
        quantization=args.transformer_quant,
        residency=args.residency,
        keep_text_encoder=args.keep_text_encoder,
        vae=args.vae and resolve_name(args.vae),
        force=args.force,
        width=args.width,
        height=args.height,
        steps=args.steps,
        guidance=args.guidance,
        seed=args.seed,
    )
    request = request.validated().with_seed()
    assert request.seed is not None
    output = output_path(args.output, Path(), request, request.seed)
    check_writable(output)
    return replace(request, output=str(output))


def _from_standard_input() -> str:
    """The prompt that is piped in; no more of it is read than a prompt may have.

    Raises:
        RequestError: if there is more.
    """
    text = read_input(MAX_PROMPT + 1)
    if len(text) > MAX_PROMPT:
        raise RequestError(
            f"Standard input holds more than a prompt's {MAX_PROMPT:,} characters; pipe the prompt alone into it."
        )
    return text.strip()


def _as_typed(text: str) -> str:
    """UTF-8 though the locale says otherwise, as over many an ssh: Python has kept such bytes as half surrogates."""
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        return text


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
