"""What the planner says a cell of a report will take, to stand beside what it took."""

from __future__ import annotations

from typing import Any

from flux2.architecture.guidance import is_guided
from flux2.errors import Flux2Error
from flux2.planning.planner import plan
from flux2.planning.run_facts import RunFacts
from flux2.store.configs import Networks, find_networks


def predict(report: dict[str, Any], cell: dict[str, Any]) -> dict[str, int]:
    """Bytes by figure; empty where the planner knows nothing of the model, or it was made smaller for a trial."""
    if report["divisor"] != 1:
        return {}
    try:
        networks = find_networks(cell["model"])
        planned = plan(networks, _facts(report, cell, networks))
    except Flux2Error:
        return {}
    held = planned.kept + planned.embeddings
    figures = {
        "transformer_active": planned.weights,
        "quantization_peak": planned.peaks["load"] - (0 if "generate" in cell["parts"] else planned.embeddings),
        "text_encoding_peak": planned.peaks["encode"],
        "denoise_above_weights": planned.peaks["denoise"] - held,
        "decode_above_weights": planned.peaks["decode"] - held,
        "generation_peak": planned.peak,
    }
    return {key: figures[key] for key in cell["figures"]}


def _facts(report: dict[str, Any], cell: dict[str, Any], networks: Networks) -> RunFacts:
    return RunFacts(
        quantization=cell["quantization"],
        residency=cell["residency"],
        width=cell["width"],
        height=cell["height"],
        dtype=cell["dtype"],
        device=report["conditions"]["backend"],
        guided=is_guided(networks.guidance, cell["guidance"]),
        text_tokens=cell["tokens"] or 0,
    )
