"""What is told of pictures that are handed in: beside each, above all of them, and on a line of the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flux2.humanize import gigabytes
from tui.lines.text import size
from tui.state.handing_in import HandedIn

if TYPE_CHECKING:
    from tui.lines.picture_costs import Costs
    from tui.state.choices import Choices


def facts(choices: Choices, item: HandedIn, costs: Costs) -> list[str]:
    """Its size, with what is left of it after the crop; tokens; its share of time and memory."""
    from tui.lines.picture_costs import prepared

    pixels = size(item.picture.width, item.picture.height)
    if not item.number:
        return [pixels]
    made = prepared(choices, item)
    cropped = size(*made.cropped)
    lines = [pixels if pixels == cropped else f"{pixels} → {cropped}", f"{made.tokens:,} tokens"]
    shares = []
    if share := costs.time_share(made.tokens):
        shares.append(f"{100 * share:.0f} % of a step")
    if memory := costs.memory_share(made.tokens):
        shares.append(f"{gigabytes(memory)} GB")
    return [*lines, ", ".join(shares)]


def together(choices: Choices, costs: Costs) -> str:
    """What is done to the source, and what the references cost: in a line."""
    parts = []
    if choices.source is not None:
        parts += _changes(choices)
    if costs.times:
        parts.append(f"a step takes {costs.times:.1f} × as long")
    return ", ".join(parts)


def _changes(choices: Choices) -> list[str]:
    from tui.lines.strength_lines import effect_of

    parts = []
    if choices.strength is not None:
        effect = effect_of(choices.strength, choices.step_count or 1, choices.size)
        parts.append(f"strength {choices.strength:g} {effect.short}")
    if choices.mask is not None:
        parts.append("repainted by its mask")
    if choices.outpaint is not None:
        parts.append(f"extended by {','.join(map(str, choices.outpaint))}")
    if choices.shows_source:
        parts.append("shown as a reference, too")
    return parts


def summary(request: Mapping[str, object]) -> str:
    """`edit, 2 refs` of a request as it lies in the queue; "" where nothing was handed in."""
    references = request.get("references")
    count = len(references) if isinstance(references, list | tuple) else 0
    parts = ["edit"] if request.get("source") else []
    return ", ".join([*parts, f"{count} ref{'s' * (count != 1)}"] if count else parts)
