"""What is said of a field of `GenerationRequest` where it is declared, and what follows from it.

`about` declares a field. From that follow which requests are for the same picture (the identity of a kept run and of a
comparison), the validation, the options of `flux2 t2i` and `flux2 plan`, what a picture and `flux2 info` tell, and what
the dashboard takes over from another picture. Whoever deals with requests goes through their fields and asks `said_of`;
there is no other list of them, so that a field is added in one place.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

from flux2.errors import RequestError

_KEY = "flux2"

Kind = Literal["value", "text", "prompt", "model", "loras", "path", "picture"]
"""What a field's value means: itself; a text of a person; the text that standard input may hold, too; a catalog name, a
Hub repository or a folder, whose path is nobody else's business; LoRAs, named likewise; a path; a picture that was
handed in, or several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A field's option of `flux2 t2i`, and of `flux2 plan`; its type and default are the field's."""

    names: tuple[str, ...]
    """Names as typed: `("--output", "-o")`; one without hyphens is given by its place."""
    help: str
    metavar: str | None = None
    read: Callable[[str], Any] | None = None
    """What makes a value of what is typed, where that is no plain one; raises RequestError."""
    repeated: bool = False
    """Whether it may be given several times, each an item of the field's tuple."""
    several: tuple[str, ...] = ()
    """Names behind which all items may stand in a row."""
    group: str = ""
    """Heading under which it is explained, where that is not among the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A field of a request. What is not said is what is safe for a field that nobody has thought about."""

    decides: bool = True
    """Whether another value makes another picture."""
    by_model: bool = False
    """Whether it is left to the model where it is not said, and said anew where another model is chosen."""
    of_run: bool = False
    """Whether it is a matter of one run and no setting of a picture: it stays with a request that is changed in the
    queue, and is not taken over from a picture or remembered."""
    planned: bool = True
    """Whether the memory of a run may depend on it: what is planned without a picture in mind may be told it, too."""
    kind: Kind = "value"
    choices: tuple[str, ...] = ()
    """The values that there are, where they can be counted."""
    check: Callable[[str, Any], str | None] = lambda _name, _value: None
    """What is wrong with the value of a field of this name: a sentence with a remedy, or None."""
    canonical: Callable[[Any], Any] = lambda value: value
    """The value that stands for all that mean the same."""
    row: str = ""
    """The row of the dashboard's settings where it is chosen; "" where it can't be."""
    line: str = ""
    """The line that tells of it beside a picture; "" where nothing does."""
    shown: Callable[[Any], str] = str
    """The value as that line tells it; "" where there is nothing to tell."""
    joined: str = ", "
    """What stands before it on a line that begins with another field."""
    option: Option | None = None


def about(default: Any = dataclasses.MISSING, **said: Any) -> Any:
    """A dataclass field of a request, with what `About` says of it."""
    return dataclasses.field(default=default, metadata={_KEY: About(**said)})


def said_of(field: dataclasses.Field[Any]) -> About:
    """What its declaration says of a field."""
    found: About = field.metadata.get(_KEY) or About()
    return found


def decisive(request: Any) -> dict[str, Any]:
    """What decides the picture, by field: equal for requests for the same picture.

    What is at its default is left out, so that a field that comes with a later version changes nothing here for
    requests that do not use it.
    """
    found = {}
    for field in dataclasses.fields(request):
        said = said_of(field)
        value = said.canonical(getattr(request, field.name))
        if said.decides and value != said.canonical(field.default):
            found[field.name] = value
    return found


def recipe(request: Any) -> Any:
    """The request without what is a matter of its run alone."""
    mine = [field for field in dataclasses.fields(request) if said_of(field).of_run]
    return dataclasses.replace(request, **{field.name: field.default for field in mine})


def lines(request: Any) -> dict[str, str]:
    """What is told of a request beside its picture, by the names of the lines; what is None or empty is left out."""
    told: dict[str, str] = {}
    for field in dataclasses.fields(request):
        said, value = said_of(field), getattr(request, field.name)
        if said.line and value not in (None, "", ()):
            shown = said.shown(value)
            if not shown:
                continue
            told[said.line] = f"{told[said.line]}{said.joined}{shown}" if said.line in told else shown
    return told


def whole_number(name: str, value: Any) -> int | None:
    """A Python user's argument, of any library's type; None where it is left to the model.

    Raises:
        RequestError: if it is no whole number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise RequestError(f"{name} is {value!r:.80}; give a whole number.")
    return operator.index(value)


def number(name: str, value: Any) -> float | None:
    """A Python user's argument, of any library's type; None where it is left to the model.

    Raises:
        RequestError: if it is no number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise RequestError(f"{name} is {value!r:.80}; give a number.")
    return float(value)


def check_prompts(prompt: Any, negative_prompt: Any) -> None:
    """Raises RequestError if one of them is no text."""
    if isinstance(prompt, list | tuple):
        raise RequestError("A call makes one picture of one prompt; call the pipeline once for each.")
    for name, text in (("prompt", prompt), ("negative_prompt", "" if negative_prompt is None else negative_prompt)):
        if not isinstance(text, str):
            raise RequestError(f"The {name} is {text!r:.80}; give a text.")
