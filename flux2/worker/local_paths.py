"""Paths of a request, which the worker reads in another folder than the one it was typed in."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from flux2.request import GenerationRequest


def with_absolute_paths(request: GenerationRequest) -> GenerationRequest:
    """The request with its paths as they are meant here."""
    changes: dict[str, str] = {}
    if request.output is not None:
        changes["output"] = str(Path(request.output).expanduser().absolute())
    if request.model.startswith((".", "~")) or (os.sep in request.model and Path(request.model).is_dir()):
        changes["model"] = str(Path(request.model).expanduser().absolute())
    return replace(request, **changes)  # type: ignore[arg-type]
