"""Pictures of this program."""

from __future__ import annotations

from dataclasses import fields

from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.found import FoundSettings
from flux2.pictures.image_metadata import CHUNK, ImageMetadata


def read_ours(candidate: Candidate) -> FoundSettings | None:
    """Settings of a picture of ours."""
    if candidate.name != CHUNK:
        return None
    request = ImageMetadata.from_json(candidate.text).request
    found = FoundSettings("flux2-tui")
    for item in fields(request):
        found.take(item.name, getattr(request, item.name))
    return found
