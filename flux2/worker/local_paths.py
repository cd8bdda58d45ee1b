"""Paths of a request, which the worker reads in another folder than the one it was typed in."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import Any

from flux2.architecture.catalog import find_card
from flux2.folders import pictures_dir
from flux2.inputs.loras import Lora
from flux2.paths import absolute, expand
from flux2.request import GenerationRequest
from flux2.request_fields import said_of
from flux2.store.local import exists


def with_absolute_paths(request: GenerationRequest) -> GenerationRequest:
    """The request with its paths as they are meant here; the picture goes where this process looks for pictures."""
    changes: dict[str, Any] = {"output": absolute(request.output or f"{pictures_dir()}/")}
    for name in (field.name for field in fields(request) if said_of(field).kind == "model"):
        place = getattr(request, name) or ""
        is_path = _is_file(place) or (os.sep in place and expand(place).is_dir())
        if place.startswith((".", "~")) or is_path:
            changes[name] = absolute(place)
    for name in (field.name for field in fields(request) if said_of(field).kind == "loras"):
        changes[name] = tuple(_here(lora) for lora in getattr(request, name))
    return replace(request, **changes)


def _here(lora: Lora) -> Lora:
    """A LoRA whose file or folder is told by its whole path, where it lies at one as seen from here."""
    return replace(lora, name=absolute(lora.name)) if lora.name and expand(lora.name).exists() else lora


def _is_file(place: str) -> bool:
    """Whether a single file of weights is meant, which may lie in the current folder."""
    return bool(place) and find_card(place) is None and exists(expand(place)) and expand(place).is_file()
