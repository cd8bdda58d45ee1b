"""The figures that this project is measured by, and which figures the tables show.

They are those of the on-the-fly quantization benchmark of flux-2-swift-mlx: M2 Ultra 96 GB, macOS 26.2, MLX Swift
0.30.2, 1024×1024, seed 42. Its MB are MiB.
"""

from __future__ import annotations

from dataclasses import dataclass

PROMPT = "A fluffy orange tabby cat sitting on a windowsill at sunset"
SEED = 42
SIZE = 1024  # pixels per side
MODELS = ("klein-4b", "klein-9b", "dev")
LEVELS = ("bf16", "qint8", "int4")


@dataclass(frozen=True, slots=True)
class Figure:
    """One table of a report: a memory figure, by model and quantization."""

    key: str
    """Its name in the JSON, where it is in bytes."""
    title: str
    document: dict[str, tuple[int | None, int | None, int | None]]
    """MiB by model, at LEVELS; empty where the document has no such table."""
    of_size: bool = False
    """Whether it grows with the picture, so that only one of the document's size can be compared."""


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
    Figure("text_encoding_peak", "Peak memory while encoding the prompt", {}),
    Figure("decode_above_weights", "Peak memory of the decode above the transformer's", {}, of_size=True),
    Figure(
        "generation_peak",
        "Peak memory of a whole generation, text encoder included (the document's is without it)",
        {"klein-4b": (17846, 14381, 12533), "klein-9b": (27779, 19662, 15333), "dev": (71930, 68733, 27755)},
        of_size=True,
    ),
)


def document_figure(figure: Figure, model: str, quantization: str) -> int | None:
    """MiB; None where the document does not have it. A base model is as large as its distilled twin."""
    row = figure.document.get(model.replace("klein-base-", "klein-"))
    return row[LEVELS.index(quantization)] if row and quantization in LEVELS else None
