"""How a LoRA wants to be used: steps, noise levels and guidance, from a file beside it or from what is published of it.

A LoRA that makes a model draw in few steps is of no use with the model's own. Beside `turbo.safetensors` this is read
from `turbo.toml` or `turbo.json`:

    steps = 8
    guidance = 2.5
    sigmas = [1.0, 0.6509, 0.4374, 0.2932, 0.1893, 0.1108, 0.0495, 0.00031]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from flux2.architecture.strength import as_run
from flux2.checkpoint.json_file import read_json
from flux2.dataclass_json import read_dataclass
from flux2.errors import LoraError
from flux2.inputs.loras import Lora
from flux2.request import GenerationRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What holds where a request does not say it."""

    steps: int | None = None
    guidance: float | None = None
    sigmas: tuple[float, ...] | None = None
    """Noise levels before the shift, one per step."""

    def fill(self, request: GenerationRequest) -> GenerationRequest:
        """The request with this for what it leaves open; noise levels only for as many steps as they are."""
        steps, sigmas, strength = request.steps, request.sigmas, request.strength or 1.0
        if sigmas is None and (steps is None or (self.sigmas and steps == as_run(len(self.sigmas), strength)[0])):
            steps, sigmas = self.steps, self.sigmas
        if sigmas is not None:
            steps = as_run(len(sigmas), strength)[0] if request.steps is None else request.steps
        guidance = self.guidance if request.guidance is None else request.guidance
        return replace(request, steps=steps, sigmas=sigmas, guidance=guidance)


_TURBO = Recipe(steps=8, guidance=2.5, sigmas=(1.0, 0.6509, 0.4374, 0.2932, 0.1893, 0.1108, 0.0495, 0.00031))
PUBLISHED: Mapping[str, Recipe] = {
    "fal/FLUX.2-dev-Turbo": _TURBO,  # https://huggingface.co/fal/FLUX.2-dev-Turbo
    "flux.2-turbo-lora": _TURBO,  # its file there, wherever it was put
}
"""Recipes by a Hub repository, or by a file's name without its ending."""


def find_recipe(lora: Lora, path: Path) -> Recipe | None:
    """What is said of a LoRA: beside its file first, then here; None where nothing is.

    Raises:
        LoraError: if the file beside it can't be read.
    """
    for ending, read in ((".toml", _read_toml), (".json", read_json)):
        beside = path.with_suffix(ending)
        if beside.is_file():
            return _read(beside, read(beside))
    return PUBLISHED.get(lora.name.partition(":")[0]) or PUBLISHED.get(path.stem)


def _read(path: Path, data: dict[str, Any]) -> Recipe | None:
    """A recipe; None where a file of other programs is about something else."""
    known = {item.name for item in fields(Recipe)}
    if not known & data.keys():
        return None
    try:
        recipe = read_dataclass(Recipe, data)
    except ValueError as error:
        raise LoraError(f"{path}: {error}; write steps, guidance and sigmas as numbers.") from error
    if recipe.sigmas is not None and recipe.steps not in (None, len(recipe.sigmas)):
        raise LoraError(f"{path} has {len(recipe.sigmas)} sigmas for {recipe.steps} steps; give one per step.")
    return recipe


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise LoraError(f"{path} can't be read ({error}); mend it, or take it away.") from error
