"""What this project is measured by: the benchmark document's figures, and which figures the tables show.

The document's are those of the on-the-fly quantization benchmark of flux-2-swift-mlx: M2 Ultra 96 GB, macOS 26.2, MLX
Swift 0.30.2, 1024×1024, seed 42. Its MB are MiB. All of its weights stay resident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flux2.inputs.checks import QUANTIZATIONS

PROMPT = "A fluffy orange tabby cat sitting on a windowsill at sunset"
SEED = 42
SIZE = 1024  # pixels per side
LARGE_SIZE = 2048  # of the second decode
MODELS = ("klein-4b", "klein-9b", "dev")
LEVELS = QUANTIZATIONS
DOCUMENT_LEVELS = ("bf16", "qint8", "int4")
"""Levels that the document has."""
HARDWARE = "M2 Ultra 96 GB, MLX Swift 0.30.2"

Row = tuple[float | None, float | None, float | None]
"""Values at each of DOCUMENT_LEVELS."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One table of a report: a memory figure, by model, quantization and residency."""

    key: str
    """Its name in the JSON, where it is in bytes."""
    title: str
    document: Mapping[str, Row]
    """MiB by model; empty where the document has no such table."""
    of_size: bool = False
    """Whether it grows with the picture, so that only one of the document's size can be compared."""
    in_plan: bool = True
    """Whether it is a figure of the plan's; else it is a difference of two, smaller than the error of either."""


FIGURES = (
    Figure(
        "transformer_active",
        "Transformer active memory (after quantization, before inference)",
        {"klein-4b": (7407, 3942, 2094), "klein-9b": (17340, 9223, 4894), "dev": (61491, 32681, 17315)},
    ),
    Figure(
        "quantization_peak",
        "Peak memory while loading and quantizing",
        {"klein-4b": (None, 8811, 4057), "klein-9b": (None, 11836, 7979), "dev": (None, 68733, 24351)},
    ),
    Figure(
        "generation_peak",
        "Peak memory of a whole generation, text encoder included (the document's is without it)",
        {"klein-4b": (17846, 14381, 12533), "klein-9b": (27779, 19662, 15333), "dev": (71930, 68733, 27755)},
        of_size=True,
    ),
    Figure("text_encoding_peak", "Peak memory while encoding the prompt", {}),
    Figure("denoise_above_weights", "Peak memory of the denoising above the weights", {}, of_size=True, in_plan=False),
    Figure(
        "decode_above_weights",
        "Peak memory of the decode above the weights (the document's generation peak less its active figure)",
        dict.fromkeys(MODELS, (10439, 10439, 10439)),
        of_size=True,
    ),
)

STEPS = {"klein-4b": 4, "klein-9b": 4, "dev": 28}
SECONDS: Mapping[str, Row] = {
    "klein-4b": (25.6, 27.9, 30.3),
    "klein-9b": (54.9, 59.7, 64.8),
    "dev": (1758.6, 1842.5, 1779.6),
}
"""Inference time, of so many steps."""
MINIMUM_RAM: Mapping[str, Row] = {"klein-4b": (24, 16, 16), "klein-9b": (32, 24, 16), "dev": (96, 96, 32)}
"""GB."""


def twin(model: str) -> str:
    """The distilled model of the same size: what a base model's memory is compared with."""
    return model.replace("klein-base-", "klein-")


def entry(table: Mapping[str, Row], model: str, quantization: str) -> float | None:
    """One entry of a table; None where the document does not have it."""
    row = table.get(twin(model))
    return row[DOCUMENT_LEVELS.index(quantization)] if row and quantization in DOCUMENT_LEVELS else None


def document_figure(figure: Figure, model: str, quantization: str) -> float | None:
    """MiB; None where the document does not have it."""
    return entry(figure.document, model, quantization)
