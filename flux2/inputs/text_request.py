"""What is asked of every picture, be it made from words alone: words, model, size, steps, seed."""

from __future__ import annotations

from dataclasses import dataclass

from flux2.architecture.catalog import MODELS
from flux2.inputs.checks import (
    AUTO,
    MAX_SEED,
    MAX_SIZE,
    MAX_STEPS,
    MIN_SIZE,
    QUANTIZATIONS,
    RESIDENCIES,
    SIZE_MULTIPLE,
    catalog_name,
    check_guidance,
    check_prompt,
    check_quantization,
    check_residency,
    check_seed,
    check_side,
    check_steps,
    check_text,
)
from flux2.request_fields import Option, about

_PIXELS = f"pixels, {MIN_SIZE} to {MAX_SIZE}, a multiple of {SIZE_MULTIPLE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRequest:
    """The fields of a `GenerationRequest` that one from words alone has, too; the others are declared there."""

    prompt: str = about(
        planned=False,
        kind="prompt",
        check=check_prompt,
        line="prompt",
        option=Option(
            names=("prompt",), metavar="PROMPT", help="what the picture shows; - reads it from standard input"
        ),
    )
    prompt_template: str | None = about(None, decides=False, check=check_text)
    """The prompt as typed, where it has wildcards (`inputs.wildcards`); `prompt` is what the seed has made of it."""
    negative_prompt: str | None = about(
        None,
        planned=False,
        kind="text",
        check=check_text,
        canonical=lambda text: text or "",
        line="negative",
        option=Option(
            names=("--negative-prompt",), metavar="TEXT", help="what to stay away from (models with guidance above 1)"
        ),
    )
    model: str = about(
        "pocket",
        kind="model",
        canonical=catalog_name,
        row="model",
        line="model",
        option=Option(
            names=("--model",),
            metavar="MODEL",
            help=f"{', '.join(MODELS)}, a Hub repository, a checkpoint's folder, or a single file of weights",
        ),
    )
    """A catalog name, a Hub repository id, a folder, or a single file."""
    base: str | None = about(
        None,
        by_model=True,
        kind="model",
        line="base",
        option=Option(
            names=("--base",),
            metavar="MODEL",
            help="the model that a single file is of, where its shapes do not tell: klein-4b or klein-base-4b",
        ),
    )
    """A catalog name, a Hub repository or a folder, whose other parts go with a single file of weights."""
    quantization: str = about(
        "bf16",
        choices=(*QUANTIZATIONS, AUTO),
        check=check_quantization,
        row="quantization",
        line="model",
        option=Option(
            names=("--transformer-quant",), help="the transformer's weights; auto is the best that fits (default: bf16)"
        ),
    )
    """One of QUANTIZATIONS, or AUTO."""
    residency: str = about(
        "resident",
        decides=False,
        choices=(*RESIDENCIES, AUTO),
        check=check_residency,
        row="quantization",
        option=Option(
            names=("--residency",),
            help="keep the transformer in memory, or read its blocks in every step (default: resident)",
        ),
    )
    """One of RESIDENCIES, or AUTO."""
    keep_text_encoder: bool = about(
        False,
        decides=False,
        of_run=True,
        option=Option(names=("--keep-text-encoder",), help="hold the whole text encoder instead of a layer at a time"),
    )
    """Keep the text encoder in memory between prompts, for machines with room; else it is streamed."""
    vae: str | None = about(
        None,
        by_model=True,
        kind="model",
        line="vae",
        option=Option(
            names=("--vae",), metavar="FOLDER|FILE|REPO", help="another autoencoder, such as FLUX.2's small decoder"
        ),
    )
    """A folder, single file or Hub repository with another autoencoder, such as FLUX.2's small decoder."""
    text_encoder: str | None = about(
        None,
        by_model=True,
        kind="model",
        line="text encoder",
        option=Option(
            names=("--text-encoder",), metavar="FOLDER|FILE", help="another text encoder, of the model's own kind"
        ),
    )
    """A folder or single file with another text encoder; the tokenizer stays the model's."""
    force: bool = about(
        False,
        decides=False,
        of_run=True,
        planned=False,
        option=Option(names=("--force",), help="run although the plan says that it does not fit this machine"),
    )
    """Carry it out although the plan says that it does not fit this machine."""
    width: int | None = about(
        None,
        by_model=True,
        check=check_side,
        row="size",
        line="size",
        option=Option(names=("--width",), metavar="W", help=_PIXELS),
    )
    """Pixels."""
    height: int | None = about(
        None,
        by_model=True,
        check=check_side,
        row="size",
        line="size",
        joined="×",
        option=Option(names=("--height",), metavar="H", help=_PIXELS),
    )
    """Pixels."""
    steps: int | None = about(
        None,
        by_model=True,
        planned=False,
        check=check_steps,
        row="steps",
        line="steps",
        option=Option(names=("--steps",), metavar="N", help=f"denoising steps, 1 to {MAX_STEPS}"),
    )
    guidance: float | None = about(
        None,
        by_model=True,
        check=check_guidance,
        row="guidance",
        line="guidance",
        option=Option(
            names=("--guidance",), metavar="G", help="how strictly the prompt is followed; 1 is off for Klein"
        ),
    )
    seed: int | None = about(
        None,
        planned=False,
        check=check_seed,
        row="seed",
        line="seed",
        option=Option(
            names=("--seed",),
            metavar="S",
            help=f"0 to {MAX_SEED}; the same seed draws the same picture (default: random)",
        ),
    )
