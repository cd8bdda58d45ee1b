"""Pictures of this program."""

from __future__ import annotations

from dataclasses import fields

from flux2.folders import lora_named
from flux2.inputs.loras import Lora, is_hub_name
from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.found import NO_SUCH_LORA, FoundSettings
from flux2.pictures.image_metadata import CHUNK, ImageMetadata
from flux2.request_fields import said_of


def read_ours(candidate: Candidate) -> FoundSettings | None:
    """Settings of a picture of ours."""
    if candidate.name != CHUNK:
        return None
    request = ImageMetadata.from_json(candidate.text).request
    found = FoundSettings("flux2-tui")
    for item in fields(request):
        if said_of(item).kind == "loras":
            _take_loras(found, item.name, getattr(request, item.name))
        else:
            found.take(item.name, getattr(request, item.name))
    return found


def _take_loras(found: FoundSettings, field: str, loras: tuple[Lora, ...]) -> None:
    """Take over those of the Hub and of the folder for LoRAs; others were somewhere on another disk."""
    here = [lora for lora in loras if is_hub_name(lora.name) or lora_named(lora.name)]
    for lora in loras:
        if lora not in here:
            found.leave_out("LoRA", lora, NO_SUCH_LORA)
    found.take(field, tuple(here) or None)
