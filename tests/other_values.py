"""A value for any field of a request that is not its default, whichever fields there are."""

from __future__ import annotations

from dataclasses import Field, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from flux2.inputs.attachment import Attachment
from flux2.request import GenerationRequest
from flux2.request_fields import said_of

OTHER_VALUES: dict[type, Any] = {
    str: "other",
    int: 80,
    float: 0.75,
    bool: True,
    Attachment: Attachment(digest="5" * 64, name="fox.png", width=64, height=64),
}
_SCHEDULED = 106  # steps of a schedule of which the last 80 run at strength 0.75
_WHERE_THESE_WILL_NOT_DO: dict[str, Any] = {
    "reference_pixels": 65_536,
    "sigmas": tuple(1 - step / _SCHEDULED for step in range(_SCHEDULED)),
}


def other_value(field: Field[Any]) -> Any:
    """A value that this field may have and that is not its default."""
    if field.name in _WHERE_THESE_WILL_NOT_DO:
        return _WHERE_THESE_WILL_NOT_DO[field.name]
    choices = said_of(field).choices
    return choices[1] if choices else _of(get_type_hints(GenerationRequest)[field.name])


def _of(hint: Any) -> Any:
    if get_origin(hint) is UnionType:
        hint = get_args(hint)[0]
    if get_origin(hint) is tuple:
        return (_of(get_args(hint)[0]),) * 4
    if hint not in OTHER_VALUES and is_dataclass(hint):
        return hint(**{name: _of(kind) for name, kind in get_type_hints(hint).items()})
    return OTHER_VALUES[hint]
