"""Pictures that are handed in with the next request: what each is for, in which order, and what goes with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from flux2.inputs.attachment import Attachment
from flux2.inputs.checks import MAX_REFERENCES
from flux2.request import GenerationRequest
from tui.state.choices import Choices

Role = Literal["source", "mask", "reference"]

FIRST_STRENGTH = 0.75
"""Strength of a source that has just been handed in, with no mask and nothing to extend it by: some of it stays."""


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A picture, and what it is for."""

    role: Role
    picture: Attachment
    place: int = 0
    """Its place among the references, from 0."""
    number: int = 0
    """What a prompt calls it: 2 for "image 2"; 0 where the model is not shown it as a reference."""


def handed_in(request: GenerationRequest) -> list[HandedIn]:
    """All of a request: the source, its mask, then the references."""
    first = request.first_number
    found = [HandedIn("source", request.source, number=first - 1)] if request.source else []
    found += [HandedIn("mask", request.mask)] if request.mask else []
    return found + [
        HandedIn("reference", picture, place, number=first + place) for place, picture in enumerate(request.references)
    ]


def title(item: HandedIn) -> str:
    """`image 2`, as a prompt calls it; what it is for, where a prompt does not name it."""
    if item.role == "reference":
        return f"image {item.number}"
    what = "its mask" if item.role == "mask" else "to change"
    return what + (f", image {item.number}" if item.number else "")


def hand_in(choices: Choices, role: Role, pictures: Sequence[Attachment]) -> Choices:
    """The choices with these, too: references after those that are there, in place of another source or mask.

    A new source is drawn at its own size, and has a mask of its own.
    """
    match role:
        case "reference":
            return replace(choices, references=(*choices.references, *pictures)[:MAX_REFERENCES])
        case "source":
            return settled(replace(choices, source=pictures[0], mask=None, outpaint=None, width=None, height=None))
        case "mask":
            first = choices.strength == FIRST_STRENGTH and not choices.mask
            return replace(choices, mask=pictures[0], strength=None if first else choices.strength)


def take_away(choices: Choices, item: HandedIn) -> Choices:
    """The choices without this one, and without what made sense for it alone."""
    if item.role == "reference":
        references = [picture for place, picture in enumerate(choices.references) if place != item.place]
        return replace(choices, references=tuple(references))
    if item.role == "mask":
        return settled(replace(choices, mask=None))
    return settled(replace(choices, source=None))


def take_all_away(choices: Choices) -> Choices:
    """The choices of somebody who hands in nothing."""
    return settled(replace(choices, source=None, references=()))


def move(choices: Choices, place: int, by: int) -> Choices:
    """The choices with the reference at this place moved by one, earlier or later."""
    other = place + by
    if not 0 <= other < len(choices.references):
        return choices
    order = list(choices.references)
    order[place], order[other] = order[other], order[place]
    return replace(choices, references=tuple(order))


def extend(choices: Choices, sides: tuple[int, int, int, int] | None) -> Choices:
    """The choices with the source extended by these pixels at top, right, bottom and left; by None, or 0, as it is."""
    if not sides or not any(sides):
        return settled(replace(choices, outpaint=None))
    first = choices.strength == FIRST_STRENGTH and not choices.outpaint
    return replace(choices, outpaint=sides, strength=None if first else choices.strength)


def settled(choices: Choices) -> Choices:
    """The choices where what is said of a source is said of one that is there, and something is done to it."""
    if choices.source is None:
        return replace(choices, mask=None, strength=None, outpaint=None, source_as_reference=None)
    if choices.mask is None and choices.outpaint is None and choices.strength is None:
        return replace(choices, strength=FIRST_STRENGTH)
    return choices
