"""Pictures that are named on the command line: what each of them is to a request."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2.attachment import Attachment
from flux2.errors import RequestError
from flux2.humanize import printable
from flux2.paths import expand

ALPHA = "alpha"
"""Word for the transparency of the picture that is changed, in place of a mask's file."""
_CHANGES = ("strength", "mask", "outpaint")
"""Fields of which any makes the first picture the one that is changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeIn:
    """How a picture's file becomes an attachment."""

    picture: Callable[[Path], Attachment]
    alpha: Callable[[Path], Attachment]
    """Makes a mask of a picture's transparency."""


def kept() -> TakeIn:
    """Put it into the store, where a run finds it; what of it is not taken goes to standard error."""
    from flux2.pictures.attachments import attach, attach_alpha

    return TakeIn(picture=lambda path: attach(path, _say), alpha=lambda path: attach_alpha(path, _say))


def looked_at() -> TakeIn:
    """Read it and keep nothing, for a plan."""
    from flux2.pictures.attachments import described
    from flux2.pictures.handed_in import read_handed_in

    def look(path: Path) -> Attachment:
        return described(path, read_handed_in(path))

    return TakeIn(picture=look, alpha=look)


def with_roles(values: dict[str, Any], take_in: TakeIn) -> dict[str, Any]:
    """A request's values, with attachments in place of paths, and the first picture as the source where it is changed.

    Raises:
        RequestError: if there is no picture whose transparency could be the mask.
        Flux2Error: if one can't be read.
    """
    paths = [expand(name) for name in values.get("references", ())]
    if not paths and "mask" not in values:
        return values
    taken = {**values, "references": tuple(take_in.picture(path) for path in paths)}
    if any(name in values for name in _CHANGES) and paths:
        taken["source"], taken["references"] = taken["references"][0], taken["references"][1:]
    if mask := values.get("mask"):
        if mask == ALPHA and not paths:
            raise RequestError("--mask alpha needs the picture that it is the transparency of; name it with --image.")
        taken["mask"] = take_in.alpha(paths[0]) if mask == ALPHA else take_in.picture(expand(mask))
    return taken


def _say(sentence: str) -> None:
    print(f"flux2: {printable(sentence)}", file=sys.stderr)
