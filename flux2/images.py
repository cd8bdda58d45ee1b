"""Pictures on disk: PNGs that say how they were made, written whole or not at all, never over another file.

A PNG of ours carries four text chunks, written before the pixels so that a reader needs only the file's first bytes:

- ``parameters``: the form that image generators share (prompt, negative prompt, one line of settings);
- ``flux2``: the same and more as JSON, which `read_metadata` turns back into a request;
- ``XML:com.adobe.xmp``: XMP with the IPTC fields for generated pictures (Photo Metadata Standard 2025.1): the digital
  source type ``trainedAlgorithmicMedia``, the AI system and the prompt;
- ``Software``: a keyword of the PNG specification.
"""

from __future__ import annotations

import contextlib
import errno
import html
import json
import os
import re
import secrets
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata as packages
from itertools import count
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from flux2 import __version__
from flux2.catalog import find_card, label
from flux2.errors import Flux2Error, RequestError
from flux2.paths import expand
from flux2.request import GenerationRequest

SOFTWARE = f"flux2-tui {__version__}"
SCHEMA = 1
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MAX_SLUG = 60  # characters of the prompt in a file's name
MAX_FILE = 128 * 2**20  # bytes; the largest picture a request can ask for is 48 MiB uncompressed
_OTHER_FORMATS = {".avif", ".bmp", ".gif", ".heic", ".jpeg", ".jpg", ".tif", ".tiff", ".webp"}
_HUB_REPO = re.compile(r"[\w-][\w.-]*/[\w.-]+")
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
    """As carried out: every default filled in, the seed chosen. `output` is not kept in the file."""
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    peaks: dict[str, int] = field(default_factory=dict)
    """Peak of MLX's active memory by phase, bytes."""
    versions: dict[str, str] = field(default_factory=_versions)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """ISO 8601."""

    def to_dict(self) -> dict[str, Any]:
        request = self.request.to_dict()
        del request["output"]
        return {
            "schema": SCHEMA,
            "software": SOFTWARE,
            "ai_generated": True,
            **request,
            "model": _public_model_name(self.request.model),
            "created": self.created,
            "versions": self.versions,
            "timings": self.timings,
            "peaks": self.peaks,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ImageMetadata:
        """Undo `to_dict`.

        Raises:
            ValueError: if a value is missing or has the wrong type.
        """
        return cls(
            request=GenerationRequest.from_dict({**data, "output": None}),
            timings=_typed(data, "timings", (int, float)),
            peaks=_typed(data, "peaks", int),
            versions=_typed(data, "versions", str),
            created=str(data.get("created", "")),
        )


def _typed(data: dict[str, Any], name: str, kind: type | tuple[type, ...]) -> dict[str, Any]:
    values = data.get(name, {})
    if not isinstance(values, dict) or not all(isinstance(value, kind) for value in values.values()):
        raise ValueError(f"{name} is {values!r:.80}")
    return values


def _public_model_name(model: str) -> str:
    """Catalog names and Hub repositories as they are; of a folder only its name: pictures travel, paths are private."""
    return model if find_card(model) or _HUB_REPO.fullmatch(model) else label(model)


def default_path(folder: Path, request: GenerationRequest, seed: int) -> Path:
    """A name for a picture in `folder`, from its prompt and seed: `a-red-fox-in-the-snow-42.png`."""
    plain = unicodedata.normalize("NFKD", request.prompt[: 10 * MAX_SLUG]).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(slug) > MAX_SLUG:
        slug = slug[: MAX_SLUG + 1].rpartition("-")[0] or slug[:MAX_SLUG]
    return folder / f"{slug or 'image'}-{seed}.png"


def output_path(chosen: str | None, folder: Path, request: GenerationRequest, seed: int) -> Path:
    """Where the picture goes: what the user chose (a file, or a folder to name it in), else a default in `folder`.

    Raises:
        RequestError: if the name chosen is that of another image format.
        Flux2Error: if the system can't even look for it.
    """
    if not chosen:
        return default_path(folder, request, seed)
    path = expand(chosen)
    with _told(path):
        if chosen.endswith(("/", os.sep)) or path.is_dir():
            return default_path(path, request, seed)
    if path.suffix.lower() in _OTHER_FORMATS:
        raise RequestError(f"Pictures are saved as PNG, not {path.suffix}; call it {path.with_suffix('.png')}.")
    return path if path.suffix.lower() == ".png" else path.with_name(path.name + ".png")


def check_writable(path: Path) -> None:
    """Make the folder of `path` and try to write there, so that a long run does not end in a refusal.

    Raises:
        Flux2Error: if nothing can be written there.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL))


def save_png(image: Image.Image, path: Path, metadata: ImageMetadata) -> Path:
    """Write the picture under `path`, or under the next free name (`fox-2.png`) where that is taken.

    The file appears under its name complete and flushed to the disk, or not at all.

    Returns:
        the path it has got.

    Raises:
        Flux2Error: if it can't be written (disk full, folder read-only); nothing is left behind then.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(path) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            with os.fdopen(descriptor, "wb") as file:
                image.save(file, format="PNG", pnginfo=_text_chunks(metadata))
                file.flush()
                os.fsync(file.fileno())
            saved = next(name for name in _names(path) if _publish(temporary, name))
        _flush_folder(path.parent)
    return saved


def read_metadata(path: Path) -> ImageMetadata:
    """How the picture at `path` was made. The pixels are not decoded.

    Text that unpacks to more than a MiB per chunk or 64 MiB in all, and pictures of more than 179 megapixels, are
    refused (Pillow's limits), so that a file from anywhere can be asked.

    Raises:
        Flux2Error: if it is no PNG, or none of ours.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise Flux2Error(f"{path} is larger than any picture of ours ({MAX_FILE >> 20} MiB); it was not read.")
        with Image.open(path, formats=["PNG"]) as image:
            text = image.info.get("flux2")
    except OSError as error:
        reason = error.strerror or "it is not a PNG"
        raise Flux2Error(f"{path} can't be read: {reason}; give the path of a PNG made by flux2.") from error
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Flux2Error(f"{path} is a damaged or dangerous PNG ({error}); it was not read.") from error
    if not isinstance(text, str):
        raise Flux2Error(f"{path} carries no settings of flux2; only pictures made by flux2 do.")
    try:
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError("not an object")
        return ImageMetadata.from_dict(data)
    except (ValueError, RecursionError) as error:
        raise Flux2Error(f"The settings in {path} are damaged: {error}") from error


def parameters_text(metadata: ImageMetadata) -> str:
    """The settings in the form that image generators share (it began with AUTOMATIC1111's web interface)."""
    request = metadata.request
    settings = {
        "Steps": request.steps,
        "Sampler": "Euler",
        "CFG scale": request.guidance,
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model": _public_model_name(request.model),
        "Quantization": request.quantization,
        "Version": SOFTWARE,
    }
    lines = [request.prompt]
    if request.negative_prompt:
        lines.append(f"Negative prompt: {request.negative_prompt}")
    lines.append(", ".join(f"{name}: {value}" for name, value in settings.items()))
    return "\n".join(lines)


def _text_chunks(metadata: ImageMetadata) -> PngImagePlugin.PngInfo:
    data = json.dumps(metadata.to_dict(), ensure_ascii=False)
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", _encodable(parameters_text(metadata)).replace("\0", ""))
    # Half of a surrogate pair (an argument that was not UTF-8) becomes its own JSON escape, which json reads back.
    chunks.add_itxt("flux2", data.encode("utf-8", "backslashreplace").decode())
    chunks.add_itxt("XML:com.adobe.xmp", _xmp(metadata))
    chunks.add_text("Software", SOFTWARE)
    return chunks


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _xmp(metadata: ImageMetadata) -> str:
    def value(text: str) -> str:
        return html.escape(_NOT_IN_XML.sub("", text))

    request = metadata.request
    system = f"{_public_model_name(request.model)} ({request.quantization})"
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
   <xmp:CreatorTool>{value(SOFTWARE)}</xmp:CreatorTool>
   <xmp:CreateDate>{value(metadata.created)}</xmp:CreateDate>
   <Iptc4xmpExt:DigitalSourceType>{DIGITAL_SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>
   <Iptc4xmpExt:AISystemUsed>{value(system)}</Iptc4xmpExt:AISystemUsed>
   <Iptc4xmpExt:AIPromptInformation>{value(request.prompt)}</Iptc4xmpExt:AIPromptInformation>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def _names(path: Path) -> Iterator[Path]:
    """fox.png, fox-2.png, fox-3.png, …"""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A hidden name beside `path`; whatever stands under it afterwards is removed."""
    temporary = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}.part")
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _publish(temporary: Path, path: Path) -> bool:
    """Give the file its name, unless another file has it."""
    try:
        os.link(temporary, path)  # unlike rename, fails where the name is taken
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # exFAT and some network shares know no hard links: take the name first, then move over it.
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        try:
            temporary.replace(path)
        except OSError:
            path.unlink()
            raise
    return True


def _flush_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the file system can be asked to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_REMEDIES = {
    errno.ENOSPC: "the disk is full; make room or choose another folder",
    errno.EDQUOT: "your quota is used up; make room or choose another folder",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.EACCES: "you may not write there; choose another folder",
    errno.EPERM: "you may not write there; choose another folder",
    errno.ENOTDIR: "a part of that path is a file; choose another folder",
    errno.EEXIST: "a part of that path is a file; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """The system's refusals as one sentence."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, f"{error.strerror or error}; choose another folder")
        raise Flux2Error(f"The picture can't be saved as {path}: {remedy}.") from error
