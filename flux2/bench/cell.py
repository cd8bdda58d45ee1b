"""One cell of the tables, measured in this process and printed as one line of JSON.

    python -m flux2.bench.cell '{"source": "klein-4b", "quantization": "int4", "parts": ["load"]}'

A process of its own per cell, so that nothing of one is left in the memory of the next.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from flux2 import events as ev
from flux2 import humanize
from flux2.architecture.limits import TOKEN_PIXELS
from flux2.backend import memory
from flux2.bench.document import PROMPT, SEED, SIZE
from flux2.errors import Flux2Error
from flux2.paths import cache_dir

PROGRESS = "· "
"""What lines on standard error begin with that tell how far it has come."""
PARTS = ("encode", "load", "generate", "decode")
"""What can be measured: a prompt encoded, a transformer loaded and quantized, a picture made, latents decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What to measure."""

    source: str
    """A catalog name, Hub repository or folder."""
    quantization: str = "bf16"
    residency: str = "resident"
    parts: tuple[str, ...] = ("load",)
    dtype: str | None = None
    width: int = SIZE
    height: int = SIZE
    steps: int | None = None
    guidance: float | None = None
    tokens: int | None = None
    """Text tokens; None is what the checkpoint was trained with."""
    references: tuple[tuple[int, int], ...] = ()
    """Width and height of each reference picture, pixels."""
    picture: str | None = None
    """Where to save the picture made."""

    @classmethod
    def from_json(cls, text: str) -> Cell:
        values = json.loads(text)
        sizes = tuple((width, height) for width, height in values.get("references", ()))
        return cls(**{**values, "parts": tuple(values["parts"]), "references": sizes})


@dataclass(slots=True)
class Measured:
    """What came out."""

    figures: dict[str, int] = field(default_factory=dict)
    """Bytes, by `flux2.bench.document.Figure.key`."""
    phase_starts: dict[str, int] = field(default_factory=dict)
    """MLX's active memory when each phase began, bytes."""
    phase_peaks: dict[str, int] = field(default_factory=dict)
    """Its peak in each phase."""
    phase_ends: dict[str, int] = field(default_factory=dict)
    """What was still active at the end of each."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    step_seconds: list[float] = field(default_factory=list)
    footprint: int = 0
    """The process's own memory at the end of the phase or step where it was largest, bytes."""
    dtype: str = ""
    """What was computed in."""

    def on_event(self, event: ev.Event) -> None:
        if isinstance(event, ev.PhaseStarted):
            self.phase_starts[event.phase] = event.memory.active
        elif isinstance(event, ev.PhaseFinished):
            self.phase_peaks[event.phase] = event.memory.peak
            self.phase_ends[event.phase] = event.memory.active
            self.seconds[event.phase] = round(event.seconds, 4)
            self.footprint = max(self.footprint, event.memory.footprint)
            _tell(f"{event.phase}: {humanize.seconds(event.seconds)}, peak {humanize.size(event.memory.peak)}")
        elif isinstance(event, ev.StepFinished):
            self.step_seconds.append(round(event.seconds, 4))
            self.footprint = max(self.footprint, event.memory.footprint)
            _tell(f"step {event.step}: {humanize.seconds(event.seconds)}")

    def above_weights(self, phase: ev.Phase) -> int:
        """Its peak, less what stays when it is over: the weights, and a few megabytes of embeddings and latents."""
        return self.phase_peaks[phase] - self.phase_ends[phase]


def _tell(line: str) -> None:
    """To whoever waits for this process: a cell of Dev may take longer than a machine is lent for."""
    print(f"{PROGRESS}{line}", file=sys.stderr, flush=True)


def measure(cell: Cell) -> Measured:
    """Measure each of the cell's parts in turn.

    Raises:
        Flux2Error: if the model can't be found, read or run.
    """
    for kept in ("prompts", "pictures"):  # known ones would need no text encoder, and no autoencoder
        shutil.rmtree(cache_dir() / kept, ignore_errors=True)
    memory.free_cache()  # a buffer from it may be larger than what it is used for, and counts in full
    measured = Measured()
    for part in cell.parts:
        _MEASURES[part](cell, measured)
    return measured


def _encode(cell: Cell, measured: Measured) -> None:
    from flux2.reporting import RunReport

    _pipeline(cell, measured)._prompts.encode([PROMPT], cell.tokens, RunReport(on_event=measured.on_event))
    measured.figures["text_encoding_peak"] = measured.phase_peaks["encode"]


def _load(cell: Cell, measured: Measured) -> None:
    _pipeline(cell, measured).load_transformer(measured.on_event)
    _take_load(cell, measured)


def _generate(cell: Cell, measured: Measured) -> None:
    pipeline = _pipeline(cell, measured)
    started = time.perf_counter()
    made = pipeline(
        PROMPT,
        image=[Image.new("RGB", size, (40 * number, 90, 60)) for number, size in enumerate(cell.references)],
        width=cell.width,
        height=cell.height,
        num_inference_steps=cell.steps,
        guidance_scale=cell.guidance,
        seed=SEED,
        max_sequence_length=cell.tokens,
        on_event=measured.on_event,
    )
    measured.seconds["generation"] = round(time.perf_counter() - started, 4)
    _take_load(cell, measured)
    measured.figures |= {
        "text_encoding_peak": measured.phase_peaks["encode"],
        "denoise_above_weights": measured.above_weights("denoise"),
        "decode_above_weights": measured.above_weights("decode"),
        "generation_peak": max(measured.phase_peaks.values()),
    }
    if cell.picture:
        made.images[0].save(Path(cell.picture))


def _decode(cell: Cell, measured: Measured) -> None:
    from flux2.backend.mlx import mx
    from flux2.reporting import RunReport

    pipeline = _pipeline(cell, measured)
    channels = pipeline.checkpoint.transformer.config["in_channels"]
    shape = (1, cell.height // TOKEN_PIXELS, cell.width // TOKEN_PIXELS, channels)
    latents = mx.random.normal(shape, key=mx.random.key(SEED))
    mx.eval(latents)
    pipeline._decode(latents, RunReport(on_event=measured.on_event))
    measured.figures["decode_above_weights"] = measured.above_weights("decode")


_MEASURES: dict[str, Callable[[Cell, Measured], None]] = {
    "encode": _encode,
    "load": _load,
    "generate": _generate,
    "decode": _decode,
}


def _take_load(cell: Cell, measured: Measured) -> None:
    if cell.residency == "resident":  # streamed, the transformer comes and goes later
        measured.figures["transformer_active"] = measured.phase_ends["load"] - measured.phase_starts["load"]
    measured.figures["quantization_peak"] = measured.phase_peaks["load"]


def _pipeline(cell: Cell, measured: Measured) -> Any:
    from flux2.pipeline import Flux2Pipeline

    pipeline = Flux2Pipeline.from_pretrained(cell.source, cell.dtype, cell.quantization, residency=cell.residency)
    measured.dtype = pipeline.dtype
    return pipeline


def main() -> int:
    try:
        print(json.dumps(asdict(measure(Cell.from_json(sys.argv[1])))))
    except Flux2Error as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
