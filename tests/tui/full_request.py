"""A request with a value of its own in every field, whichever fields there are."""

from __future__ import annotations

from dataclasses import fields

from flux2.request import GenerationRequest
from tests.other_values import other_value

FULL = GenerationRequest(
    **{field.name: other_value(field) for field in fields(GenerationRequest)} | {"prompt_template": "a {red|blue} fox"}
).resolved()
