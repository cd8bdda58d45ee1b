"""Pictures that are named on the command line: what each of them is to a request."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from flux2.errors import RequestError
from flux2.humanize import printable
from flux2.inputs.attachment import Attachment
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


def with_roles(values: Mapping[str, Any], take_in: TakeIn, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """A request's values, with attachments in place of paths, and the first picture as the source where it is changed.

    Args:
        values: those that were typed.
        earlier: those that hold where nothing was typed, of a picture whose settings are taken.

    Raises:
        RequestError: if something is to be done to a picture, and none is named.
        Flux2Error: if one can't be read.
    """
    taken = {**earlier, **values}
    paths = [expand(name) for name in values.get("references", ())]
    if paths:
        taken |= {"references": tuple(take_in.picture(path) for path in paths), "source": None}
    changes = [name for name in _CHANGES if taken.get(name) is not None]
    if changes and not taken.get("source"):
        if not taken.get("references"):
            raise RequestError(f"--{changes[0]} is for a picture to change, and there is none; name it with --image.")
        taken["source"], *others = taken["references"]
        taken["references"] = tuple(others)
    if mask := values.get("mask"):
        if mask == ALPHA and not paths:
            raise RequestError("--mask alpha is of the picture that --image names; name it.")
        taken["mask"] = take_in.alpha(paths[0]) if mask == ALPHA else take_in.picture(expand(mask))
    return taken


def settings_of(picture: Path, unsaid: Mapping[str, Any], *, with_pictures: bool) -> dict[str, Any]:
    """Values of the request that a picture was made with; what is not taken goes to standard error.

    Args:
        unsaid: values for what the picture does not say.
        with_pictures: whether those that it was made with are needed.

    Raises:
        RequestError: if one of them is not here any more.
        Flux2Error: if the picture says nothing of how it was made.
    """
    from flux2.pictures.foreign.taken_settings import take_settings

    taken = take_settings(picture, unsaid)
    if taken.pictures.missing and with_pictures:
        raise RequestError(taken.pictures.complaint)
    if taken.left_out:
        _say(taken.left_out)
    return {field.name: getattr(taken.request, field.name) for field in fields(taken.request)}


def _say(sentence: str) -> None:
    print(f"flux2: {printable(sentence)}", file=sys.stderr)
