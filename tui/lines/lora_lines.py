"""What is told of LoRAs: what each is, whether it fits the model, and how strongly it is meant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from textual.content import Content

from flux2 import humanize
from flux2.architecture.catalog import label
from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.errors import Flux2Error
from flux2.folders import list_loras, lora_name
from flux2.humanize import printable
from flux2.inputs.loras import MAX_SCALE, Lora
from flux2.lora.planned import look
from flux2.store.configs import networks_for
from tui.lines.text import fitted
from tui.state.choices import Choices

_LONGEST = 40


@dataclass(frozen=True, slots=True)
class LoraLine:
    """A LoRA that may be chosen."""

    name: str
    size: str
    fits: bool
    words: str
    """What it does to the model, or why it can't be applied."""


def lora_lines(choices: Choices) -> list[LoraLine]:
    """The LoRAs of the folder, and those that are chosen and lie elsewhere. Asks the disk, for headers alone."""
    config, files = _config(choices), list_loras()
    lines = [_line(lora_name(file), file, config, choices) for file in files]
    known = {line.name for line in lines}
    return lines + [_elsewhere(lora, config, choices) for lora in choices.loras if lora.name not in known]


def _config(choices: Choices) -> Flux2TransformerConfig | None:
    """The chosen model's transformer; None where it is not known yet."""
    try:
        return networks_for(choices).transformer
    except Flux2Error:
        return None


def _line(name: str, path: Path, config: Flux2TransformerConfig | None, choices: Choices) -> LoraLine:
    try:
        size = humanize.size(path.stat().st_size)
    except OSError:
        size = ""
    if config is None:
        return LoraLine(name, size, True, "")
    found = look(path, config, label(choices.model))
    if isinstance(found, str):
        return LoraLine(name, size, False, found)
    return LoraLine(name, size, True, f"changes {found.matrices} of {found.of} matrices")


def _elsewhere(lora: Lora, config: Flux2TransformerConfig | None, choices: Choices) -> LoraLine:
    from flux2.lora.finding import find_local_lora

    path = find_local_lora(lora.name)
    if path is None:
        return LoraLine(lora.name, "", True, "is looked for on the Hub, and downloaded, when a picture needs it")
    return _line(lora.name, path, config, choices)


def drawn(line: LoraLine, scale: float | None, width: int) -> Content:
    """`● 0.80  woodcut   12.4 MiB  fits`; without a strength where it is not chosen."""
    chosen = scale is not None
    strength = f"{scale:5.2f}" if scale is not None else "     "
    verdict = ("fits", "$success") if line.fits else ("does not fit", "$error")
    name = fitted(printable(line.name), width)
    return Content.assemble(
        ("● " if chosen else "  ", "$accent"),
        (strength, "bold $accent" if chosen else ""),
        (f"  {name:<{width}}", "$foreground" if line.fits else "$muted"),
        (f"  {line.size:>9}  ", "$muted"),
        verdict,
    )


def name_width(lines: list[LoraLine]) -> int:
    """Cells for the longest name, within bounds."""
    return min(_LONGEST, max((len(line.name) for line in lines), default=8))


def scale_of(loras: tuple[Lora, ...], name: str) -> float | None:
    """The strength of the LoRA of this name; None where it is not chosen."""
    return next((lora.scale for lora in loras if lora.name == name), None)


def switched(loras: tuple[Lora, ...], name: str) -> tuple[Lora, ...]:
    """LoRAs with this one at full strength, or without it where it is chosen."""
    if scale_of(loras, name) is None:
        return (*loras, Lora(name))
    return tuple(lora for lora in loras if lora.name != name)


def strengthened(loras: tuple[Lora, ...], name: str, by: float) -> tuple[Lora, ...]:
    """LoRAs with this one stronger or weaker; one that was not chosen begins at nothing."""
    if scale_of(loras, name) is None:
        loras = (*loras, Lora(name, scale=0.0))
    return tuple(
        replace(lora, scale=round(max(-MAX_SCALE, min(MAX_SCALE, lora.scale + by)), 2)) if lora.name == name else lora
        for lora in loras
    )
