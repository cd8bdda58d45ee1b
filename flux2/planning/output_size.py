"""The size of the picture that a request makes, where it leaves that open."""

from __future__ import annotations

import math
from typing import TypeGuard

from flux2.architecture import canvas_sizes, reference_sizes
from flux2.architecture.catalog import ModelCard
from flux2.architecture.reference_sizes import Size
from flux2.inputs.checks import MAX_SIZE
from flux2.request import GenerationRequest


def output_size(request: GenerationRequest, card: ModelCard | None, default: Size) -> Size:
    """Width and height that the model draws at: as asked for, else of the source's shape, or of the first reference's,
    else the model's.

    Args:
        card: the model's; None for one that is not in the catalog.
        default: what the model makes of a prompt alone.
    """
    width, height = default
    if request.source and request.source.width and request.source.height:
        source, most = (request.source.width, request.source.height), _most_pixels(card)
        width, height = canvas_sizes.working_size(source, request.outpaint, MAX_SIZE, most)
    elif request.references and request.references[0].width and request.references[0].height:
        first = request.references[0].width, request.references[0].height
        width, height = _nearest(first, card.sizes) if _is_bound(card) else reference_sizes.output_size(*first)
    return width if request.width is None else request.width, height if request.height is None else request.height


def _most_pixels(card: ModelCard | None) -> int:
    """Pixels of a source that is worked on."""
    return max(width * height for width, height in card.sizes) if _is_bound(card) else canvas_sizes.MOST_PIXELS


def reference_pixels(request: GenerationRequest, card: ModelCard | None) -> int | None:
    """Area that each reference is shrunk to where it has more, pixels; None is diffusers' 1024².

    A model that was trained for a few sizes was trained for references of these.
    """
    if request.reference_pixels or not _is_bound(card):
        return request.reference_pixels
    return _most_pixels(card)


def _is_bound(card: ModelCard | None) -> TypeGuard[ModelCard]:
    return card is not None and card.only_these_sizes


def _nearest(size: Size, sizes: tuple[Size, ...]) -> Size:
    """The one of these sizes whose shape is nearest."""
    return min(sizes, key=lambda other: abs(math.log(other[0] * size[1] / (other[1] * size[0]))))
