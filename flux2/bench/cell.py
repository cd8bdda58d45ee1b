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
from typing import Any

from flux2 import events as ev
from flux2 import memory
from flux2.bench.document import PROMPT, SEED, SIZE
from flux2.errors import Flux2Error
from flux2.paths import cache_dir

PARTS = ("encode", "load", "generate")
"""What can be measured: a prompt encoded, a transformer loaded and quantized, a picture made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What to measure."""

    source: str
    """A catalog name, Hub repository or folder."""
    quantization: str = "bf16"
    parts: tuple[str, ...] = ("load",)
    dtype: str | None = None
    width: int = SIZE
    height: int = SIZE
    steps: int | None = None
    guidance: float | None = None
    tokens: int | None = None
    """Of text; None is what the checkpoint was trained with."""

    @classmethod
    def from_json(cls, text: str) -> Cell:
        values = json.loads(text)
        return cls(**{**values, "parts": tuple(values["parts"])})


@dataclass(slots=True)
class Measured:
    """What came out."""

    figures: dict[str, int] = field(default_factory=dict)
    """Bytes, by `flux2.bench.document.Figure.key`."""
    phase_peaks: dict[str, int] = field(default_factory=dict)
    """MLX's peak of each phase, bytes."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By phase."""
    step_seconds: list[float] = field(default_factory=list)
    footprint: int = 0
    """The process's own memory at the end of the phase where it was largest, bytes."""

    def on_event(self, event: ev.Event) -> None:
        if isinstance(event, ev.PhaseFinished):
            self.phase_peaks[event.phase] = event.memory.peak
            self.seconds[event.phase] = round(event.seconds, 3)
            self.footprint = max(self.footprint, event.memory.footprint)
        elif isinstance(event, ev.StepFinished):
            self.step_seconds.append(round(event.seconds, 3))
            self.footprint = max(self.footprint, event.memory.footprint)


def measure(cell: Cell) -> Measured:
    """Measure each of the cell's parts in turn.

    Raises:
        Flux2Error: if the model can't be found, read or run.
    """
    shutil.rmtree(cache_dir() / "prompts", ignore_errors=True)  # a known prompt would need no text encoder
    memory.free_cache()  # a buffer from it may be larger than what it is used for, and counts in full
    measured = Measured()
    for part in cell.parts:
        _MEASURES[part](cell, measured)
    return measured


def _encode(cell: Cell, measured: Measured) -> None:
    from flux2.checkpoint.networks import TEXT_ENCODER, NetworkSource
    from flux2.mlx_backend import DTYPES
    from flux2.reporting import RunReport
    from flux2.text_encoding import PromptEncoder

    pipeline = _pipeline(cell)
    source = NetworkSource.check(pipeline.checkpoint, TEXT_ENCODER)
    encoder = PromptEncoder(source, pipeline.checkpoint.tokenizer_folder, DTYPES[pipeline.dtype])
    encoder.encode([PROMPT], cell.tokens, RunReport(on_event=measured.on_event))
    measured.figures["text_encoding_peak"] = measured.phase_peaks["encode"]


def _load(cell: Cell, measured: Measured) -> None:
    pipeline = _pipeline(cell)
    before = memory.read().active
    pipeline.load_transformer(measured.on_event)
    measured.figures["transformer_active"] = memory.read().active - before
    measured.figures["quantization_peak"] = measured.phase_peaks["load"]


def _generate(cell: Cell, measured: Measured) -> None:
    pipeline = _pipeline(cell)
    started = time.perf_counter()
    pipeline(
        PROMPT,
        width=cell.width,
        height=cell.height,
        num_inference_steps=cell.steps,
        guidance_scale=cell.guidance,
        seed=SEED,
        max_sequence_length=cell.tokens,
        on_event=measured.on_event,
    )
    measured.seconds["generation"] = round(time.perf_counter() - started, 3)
    kept = memory.read().active
    measured.figures["transformer_active"] = kept
    measured.figures["quantization_peak"] = measured.phase_peaks["load"]
    measured.figures["text_encoding_peak"] = measured.phase_peaks["encode"]
    measured.figures["decode_above_weights"] = measured.phase_peaks["decode"] - kept
    measured.figures["generation_peak"] = max(measured.phase_peaks.values())


_MEASURES: dict[str, Callable[[Cell, Measured], None]] = {"encode": _encode, "load": _load, "generate": _generate}


def _pipeline(cell: Cell) -> Any:
    from flux2.pipeline import Flux2Pipeline

    return Flux2Pipeline.from_pretrained(cell.source, cell.dtype, cell.quantization)


def main() -> int:
    try:
        print(json.dumps(asdict(measure(Cell.from_json(sys.argv[1])))))
    except Flux2Error as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
