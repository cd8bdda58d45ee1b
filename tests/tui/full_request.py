"""A request with a value of its own in every field, whichever fields there are."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any, get_args, get_type_hints

from flux2.request import GenerationRequest
from flux2.request_fields import said_of

_ANOTHER = {str: "other", int: 64, float: 2.5, bool: True}


def _another(field: Field[Any]) -> Any:
    """A value that this field may have and that is not its default."""
    hint = get_type_hints(GenerationRequest)[field.name]
    kind = next(kind for kind in _ANOTHER if kind in (hint, *get_args(hint)))
    return said_of(field).choices[1] if said_of(field).choices else _ANOTHER[kind]


FULL = GenerationRequest(
    **{field.name: _another(field) for field in fields(GenerationRequest)} | {"prompt_template": "a {red|blue} fox"}
).resolved()
