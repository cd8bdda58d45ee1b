"""Python's arguments for a picture that is changed itself, by diffusers' names, as the fields of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from flux2.architecture.strength import as_run
from flux2.canvas.masks import read_mask
from flux2.errors import RequestError
from flux2.references.reference_pictures import Images, Picture, Pictures, hand_in, opened
from flux2.request_fields import number, whole_number


def pictures_handed_in(
    image: Images | None,
    image_reference: Images | None,
    mask_image: Picture | None,
    strength: float | None,
    outpaint: Sequence[int] | None,
    num_inference_steps: int | None,
    own_schedule: bool = False,
) -> tuple[dict[str, Any], Pictures]:
    """Fields of a request, and its pictures by digest.

    As in diffusers, `image` is the source where there is a strength, a mask or margins, else the references; and with a
    strength `num_inference_steps` is the number of steps of the whole schedule, of which the last ones run.

    Args:
        own_schedule: whether the schedule is given, noise level by noise level.

    Raises:
        RequestError: if an argument is none of its kind, or they do not go together.
    """
    fields: dict[str, Any] = {"steps": whole_number("num_inference_steps", num_inference_steps)}
    fields["strength"] = number("strength", strength)
    fields["outpaint"] = None if outpaint is None else _margins(outpaint)
    handed_in, pictures = hand_in(image)
    changed = mask_image is not None or fields["strength"] is not None or fields["outpaint"] is not None
    if not changed and hand_in(image_reference)[0]:
        raise RequestError("image_reference goes with an image to change; give references alone as image.")
    if not changed:
        return fields | {"references": handed_in}, pictures
    if len(handed_in) > 1:
        raise RequestError(f"There are {len(handed_in)} images to change; give one, and references as image_reference.")
    fields["source"] = handed_in[0] if handed_in else None
    fields["references"], others = hand_in(image_reference)
    pictures |= others
    if mask_image is not None:
        (fields["mask"],), others = hand_in(Image.fromarray(read_mask(opened("mask_image", mask_image))))
        pictures |= others
    if fields["strength"] and fields["steps"] and 0 < fields["strength"] <= 1:
        fields["steps"], same = as_run(fields["steps"], fields["strength"])
        fields["strength"] = strength if own_schedule else same
        if not fields["steps"]:
            raise RequestError(
                f"At strength {strength} none of {num_inference_steps} steps runs; choose 1 / num_inference_steps or "
                "more."
            )
    return fields, pictures


def _margins(outpaint: Sequence[int]) -> tuple[int, ...]:
    try:
        return tuple(whole_number("outpaint", pixels) or 0 for pixels in outpaint)
    except TypeError as error:
        raise RequestError(
            f"outpaint is {outpaint!r:.80}; give the pixels to add at top, right, bottom and left."
        ) from error
