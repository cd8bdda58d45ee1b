"""What is wrong with a request to change a picture, told before any work: of its source, and of what is to be done."""

from __future__ import annotations

from collections.abc import Iterator

from flux2.architecture.canvas_sizes import canvas_complaint
from flux2.architecture.strength import scheduled, strongest_that_keeps, weakest_that_runs
from flux2.inputs.attachment import Attachment


def source_complaint(
    source: Attachment | None,
    mask: Attachment | None,
    strength: float | None,
    outpaint: tuple[int, ...] | None,
    steps: int | None,
    *,
    sides: tuple[int, int],
    most_steps: int,
) -> str | None:
    """A sentence with a remedy, or None.

    Args:
        sides: pixels that a side may have, at least and at most.
        most_steps: steps that a schedule may have.
    """
    asked = {"strength": strength, "mask": mask, "outpainting": outpaint}
    if source is None:
        named = next((name for name, value in asked.items() if value is not None), None)
        return f"The {named} is for a picture to change, and there is none; give the source." if named else None
    if all(value is None for value in asked.values()):
        return (
            f"The source {source} has nothing done to it; give a strength, a mask or what to extend it by, or take it "
            "as a reference."
        )
    if complaint := canvas_complaint((source.width, source.height), outpaint, *sides):
        return complaint
    if steps and strength and scheduled(steps, strength).total > most_steps:
        return (
            f"At strength {strength:g} {steps} steps would be the last of {scheduled(steps, strength).total:,}, and "
            f"{most_steps:,} are the most; choose {weakest_that_runs(steps, most_steps):g} to 1."
        )
    return None


def strength_cautions(strength: float, steps: int) -> Iterator[str]:
    """What is said of a strength at which so many steps keep nothing of a source that is painted anew as a whole."""
    if not scheduled(steps, strength).first:
        yield (
            f"At strength {strength:g} {steps} step{'s begin' if steps > 1 else ' begins'} in noise alone, and nothing "
            f"is kept of the source; choose {strongest_that_keeps(steps):g} or less to keep some of it."
        )
