"""Pictures of the embedded model in every way a run can be made, against the one that it should be."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from flux2.doctor.finding import Finding, ok, wrong
from flux2.errors import Flux2Error
from flux2.humanize import seconds, size
from flux2.pictures.similarity import compare
from flux2.pipeline import Flux2Pipeline, Flux2PipelineOutput

PROMPT = "a fluffy orange tabby cat sitting on a windowsill at sunset"
SEED = 42
REFERENCE = Path(__file__).parent / "reference.png"
"""The picture of `PROMPT` and `SEED` by pocket in float32 on the CPU; `python -m flux2.doctor.pictures` makes it."""

WAYS = {
    "bf16": ("bf16", "resident", 30.0),
    "qint8": ("qint8", "resident", 28.0),
    "int6": ("int6", "resident", 26.0),
    "int5": ("int5", "resident", 22.0),
    "int4": ("int4", "resident", 18.0),
    "bf16, streamed": ("bf16", "streamed", 30.0),
}
"""Quantization, residency, and the PSNR in dB against the reference below which something is wrong."""


def check_pictures() -> Iterator[Finding]:
    """One picture in each of `WAYS`; nothing of it is kept."""
    reference = Image.open(REFERENCE)
    with _home_of_its_own():
        for name, (quantization, residency, least) in WAYS.items():
            try:
                made = _make(quantization, residency)
            except Flux2Error as error:
                yield wrong(f"pocket at {name} failed: {error}", "Report this with the whole of this report.")
                continue
            alike = compare(made.images[0], reference)
            same = "equal to" if alike.psnr == math.inf else f"{alike.psnr:.1f} dB from"
            text = f"pocket at {name}: {_told(made)}, {same} the recorded picture"
            if alike.psnr < least:
                yield wrong(f"{text}, {least:g} expected", "Update MLX and the system; report this if it stays.")
            else:
                yield ok(text)


def _make(quantization: str, residency: str) -> Flux2PipelineOutput:
    pipeline = Flux2Pipeline.from_pretrained("pocket", quantization=quantization, residency=residency)
    return pipeline(PROMPT, seed=SEED)


def _told(made: Flux2PipelineOutput) -> str:
    return f"{seconds(sum(made.timings.values()))}, peak {size(max(made.peaks.values()))}"


@contextmanager
def _home_of_its_own() -> Iterator[None]:
    """Caches in a folder that is gone afterwards, so that every phase is gone through and nothing is left behind."""
    before = os.environ.get("FLUX2_HOME")
    with tempfile.TemporaryDirectory(prefix="flux2-doctor-") as folder:
        os.environ["FLUX2_HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["FLUX2_HOME"]
            else:
                os.environ["FLUX2_HOME"] = before


def main() -> None:
    """Make the reference anew: after pocket was trained again."""
    with _home_of_its_own():
        _make("bf16", "resident").images[0].save(REFERENCE, optimize=True)


if __name__ == "__main__":
    main()
