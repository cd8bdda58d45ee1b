"""Settings out of any picture, whoever made it: a table of readers, each tried on each text that the picture holds.

What another program calls differently is translated, what has no counterpart here is named with the reason, and what
nobody here can read is named, too: half of the settings are never taken for all of them, and no text of unknown form
for a prompt. A damaged text costs what it says and no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flux2.errors import Flux2Error
from flux2.humanize import printable
from flux2.pictures.embedded_texts import read_embedded_texts
from flux2.pictures.foreign.a1111 import read_a1111
from flux2.pictures.foreign.candidate import Candidate, Reader
from flux2.pictures.foreign.comfyui import read_comfyui
from flux2.pictures.foreign.draw_things import read_draw_things
from flux2.pictures.foreign.easy_diffusion import read_easy_diffusion
from flux2.pictures.foreign.fooocus import read_fooocus
from flux2.pictures.foreign.found import FoundSettings
from flux2.pictures.foreign.invokeai import read_invokeai
from flux2.pictures.foreign.mflux import read_mflux
from flux2.pictures.foreign.novelai import read_novelai
from flux2.pictures.foreign.ours import read_ours
from flux2.pictures.foreign.swarmui import read_swarmui
from flux2.pictures.image_metadata import CHUNK

READERS: tuple[Reader, ...] = (
    read_ours,
    read_mflux,
    read_swarmui,
    read_invokeai,
    read_novelai,
    read_draw_things,
    read_fooocus,
    read_comfyui,
    read_easy_diffusion,
    read_a1111,
)
"""Each knows its program's texts by what is in them; of two that say something the first is believed."""

_SETTINGS = {
    *("parameters", "prompt", "workflow", "comment", "dream", "sd-metadata", "invokeai_metadata", "generation_data"),
    *("exif usercomment", "xmp usercomment", "jpeg comment", "exif xpcomment", CHUNK),
}
"""Where programs write settings, in lower case: a text there that nobody reads is named."""
_NO_SETTINGS = {
    *("software", "author", "copyright", "creation time", "title", "source", "warning", "disclaimer", "date:create"),
    *("date:modify", "date:timestamp", "exif make", "exif model", "exif software", "xmp creatortool"),
}
"""Where no program writes settings, in lower case."""
_QUOTED = 40
"""Characters of a text that is named."""


def read_settings_of(path: Path) -> FoundSettings:
    """The settings of the picture at `path`, as far as they go here. The pixels are not decoded.

    Raises:
        Flux2Error: if it is no PNG, JPEG or WebP, or says nothing that is understood.
    """
    embedded = read_embedded_texts(path)
    first_of_each: dict[str, str] = {}
    for name, text in embedded.texts:
        first_of_each.setdefault(name, text)
    readings: list[tuple[int, FoundSettings]] = []
    not_understood = [_quoted(trouble, 2 * _QUOTED) for trouble in embedded.damaged]
    for name, text in embedded.texts:
        rank, found, trouble = _tried(_candidate(name, text, first_of_each, path))
        if found is not None:
            readings.append((rank, found))
        elif trouble:
            not_understood.append(trouble)
        elif name.lower() in _SETTINGS:
            not_understood.append(f"{name} “{_quoted(text)}”")
    readings.sort(key=lambda reading: ("prompt" not in reading[1].values, not reading[1].values, reading[0]))
    if readings and readings[0][1].values:
        best = readings[0][1]
        best.not_understood += not_understood
        return best
    said = [str(word) for _, found in readings for word in (*found.not_understood, *found.left_out)] + not_understood
    said = said or [f"{name} “{_quoted(text)}”" for name, text in embedded.texts if name.lower() not in _NO_SETTINGS]
    if not said:
        raise Flux2Error(f"{path} says nothing about how it was made; choose a picture with its settings in it.")
    listed = printable("; ".join(said[:4]))
    raise Flux2Error(f"{path} says nothing about how it was made that is understood here. It has: {listed}.")


def _candidate(name: str, text: str, others: Mapping[str, str], path: Path) -> Candidate:
    """The text, named as in PNG where it says itself what it is, as ComfyUI's do in EXIF: `prompt:{…}`."""
    marked, colon, rest = text.partition(":")
    if colon and marked.lower() in ("prompt", "workflow") and rest.lstrip().startswith("{"):
        name, text = marked.lower(), rest
    return Candidate(name, text, others, path.name)


def _tried(candidate: Candidate) -> tuple[int, FoundSettings | None, str]:
    """The first reader that knows the text, by its rank, and what it found; or what is wrong with the text."""
    trouble = ""
    for rank, read in enumerate(READERS):
        try:
            if (found := read(candidate)) is not None:
                return rank, found, ""
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            trouble = trouble or f"{candidate.name}, which is damaged ({_quoted(str(error)) or type(error).__name__})"
    if candidate.problem and candidate.name.lower() in _SETTINGS:
        trouble = f"{candidate.name}, which is damaged ({_quoted(candidate.problem)})"
    return len(READERS), None, trouble


def _quoted(text: str, length: int = _QUOTED) -> str:
    """A text's beginning, on one line."""
    plain = " ".join(text[: 4 * length].split())
    return printable(plain if len(plain) <= length else f"{plain[:length]}…")
