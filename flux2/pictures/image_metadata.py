"""What a picture says of itself: four text chunks of its PNG.

They come before the pixels, so that a reader needs only the file's first bytes:

- ``parameters``: the form that image generators share (prompt, negative prompt, one line of settings);
- ``flux2``: the same and more as JSON, which `ImageMetadata.from_json` turns back into a request;
- ``XML:com.adobe.xmp``: XMP with the IPTC fields for generated pictures (Photo Metadata Standard 2025.1): the digital
  source type ``trainedAlgorithmicMedia``, or that of an edited picture, the AI system and the prompt;
- ``Software``: a keyword of the PNG specification.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
import sys
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib import metadata as packages
from typing import Any

from PIL import PngImagePlugin

from flux2 import __version__
from flux2.architecture.catalog import find_card, is_repo_id, label
from flux2.dataclass_json import read_dataclass
from flux2.request import GenerationRequest
from flux2.request_fields import said_of

SOFTWARE = f"flux2-tui {__version__}"
SCHEMA = 1
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
EDITED_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC's word for a picture of which a part is kept from another."""
CHUNK = "flux2"
"""The keyword of the JSON."""
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _versions() -> dict[str, str]:
    versions = {"flux2-tui": __version__, "python": ".".join(map(str, sys.version_info[:3]))}
    with contextlib.suppress(packages.PackageNotFoundError):
        versions["mlx"] = packages.version("mlx")
    return versions


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMetadata:
    """How a picture came to be."""

    request: GenerationRequest
    """The request as carried out: every default filled in, the seed chosen. `output` is not kept in the file."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    peaks: dict[str, int] = field(default_factory=dict)
    """Peak of MLX's active memory by phase, bytes."""
    active: dict[str, int] = field(default_factory=dict)
    """What was active when each phase began, bytes: at the start of denoise, the transformer's weights."""
    versions: dict[str, str] = field(default_factory=_versions)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """ISO 8601."""

    def to_dict(self) -> dict[str, Any]:
        request = self.request.to_dict()
        for item in fields(self.request):
            kind, value = said_of(item).kind, request[item.name]
            if kind == "path":
                del request[item.name]
            elif kind == "model" and value:
                request[item.name] = _public_model_name(value)
            elif kind == "loras":
                request[item.name] = [asdict(lora.public()) for lora in getattr(self.request, item.name)]
        return {
            "schema": SCHEMA,
            "software": SOFTWARE,
            "ai_generated": True,
            **request,
            "created": self.created,
            "versions": self.versions,
            "timings": self.timings,
            "peaks": self.peaks,
            "active": self.active,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ImageMetadata:
        """Undo `to_dict`.

        Raises:
            ValueError: if a value is missing or has the wrong type.
        """
        unsaid = {"versions": {}, "created": ""}  # of which this version and this moment are no part
        return read_dataclass(cls, unsaid | data, request=GenerationRequest.from_kept({**data, "output": None}))

    def to_json(self) -> str:
        # Half of a surrogate pair (an argument that was not UTF-8) becomes its own JSON escape, which json reads back.
        return json.dumps(self.to_dict(), ensure_ascii=False).encode("utf-8", "backslashreplace").decode()

    @classmethod
    def from_json(cls, text: str) -> ImageMetadata:
        """Undo `to_json`.

        Raises:
            ValueError: if it is damaged.
        """
        try:
            data = json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(data, dict):
            raise ValueError("not an object")
        return cls.from_dict(data)


def _public_model_name(model: str) -> str:
    """Catalog names and Hub repositories as they are; of a folder only its name: pictures travel, paths are private."""
    return model if find_card(model) or is_repo_id(model) else label(model)


def parameters_text(metadata: ImageMetadata) -> str:
    """The settings in the form that image generators share (it began with AUTOMATIC1111's web interface)."""
    request = metadata.request
    settings = {
        "Steps": request.steps,
        "Sampler": "Euler",
        "CFG scale": request.guidance,
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        **({} if request.strength is None else {"Denoising strength": request.strength}),
        "Model": _public_model_name(request.model),
        "Quantization": request.quantization,
        "Version": SOFTWARE,
    }
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    lines.append(", ".join(f"{name}: {value}" for name, value in settings.items()))
    return "\n".join(lines)


def text_chunks(metadata: ImageMetadata) -> PngImagePlugin.PngInfo:
    """All that is to stand in the PNG, for Pillow's `pnginfo`."""
    chunks = PngImagePlugin.PngInfo()
    parameters = parameters_text(metadata).encode("utf-8", "replace").decode()
    chunks.add_text("parameters", parameters.replace("\0", ""))
    chunks.add_itxt(CHUNK, metadata.to_json())
    chunks.add_itxt("XML:com.adobe.xmp", _xmp(metadata))
    chunks.add_text("Software", SOFTWARE)
    return chunks


def _xmp(metadata: ImageMetadata) -> str:
    def value(text: str) -> str:
        return html.escape(_NOT_IN_XML.sub("", text))

    request = metadata.request
    source_type = EDITED_SOURCE_TYPE if request.keeps_by_mask else DIGITAL_SOURCE_TYPE
    system = f"{_public_model_name(request.model)} ({request.quantization})"
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <xmp:CreatorTool>{value(SOFTWARE)}</xmp:CreatorTool>
   <xmp:CreateDate>{value(metadata.created)}</xmp:CreateDate>
   <Iptc4xmpExt:DigitalSourceType>{source_type}</Iptc4xmpExt:DigitalSourceType>
   <Iptc4xmpExt:AISystemUsed>{value(system)}</Iptc4xmpExt:AISystemUsed>
   <Iptc4xmpExt:AIPromptInformation>{value(request.prompt)}</Iptc4xmpExt:AIPromptInformation>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
