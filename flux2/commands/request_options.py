"""A request's options on the command line, made of what its fields say of themselves."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from flux2.errors import RequestError
from flux2.request import MAX_PROMPT, GenerationRequest
from flux2.request_fields import Option, said_of
from flux2.streams import read_input


def add_request_options(parser: argparse.ArgumentParser, *, planned: bool = False) -> None:
    """An option for every field that may be chosen on the command line.

    Args:
        planned: those alone that the memory of a run may depend on.
    """
    hints = get_type_hints(GenerationRequest)
    for field in fields(GenerationRequest):
        option, hint = said_of(field).option, hints[field.name]
        if option is None or (planned and not said_of(field).planned):
            continue
        named: dict[str, Any] = {"dest": field.name} if option.names[0].startswith("-") else {}
        if hint is bool:
            parser.add_argument(*option.names, **named, action="store_true", help=option.help)
            continue
        parser.add_argument(
            *option.names,
            **named,
            type=_reader(option) or next((kind for kind in (int, float) if kind in (hint, *get_args(hint))), str),
            action="append" if option.repeated else "store",
            choices=said_of(field).choices or None,
            metavar=option.metavar,
            help=option.help,
        )


def _reader(option: Option) -> Callable[[str], Any] | None:
    """The option's own, with its sentence as argparse tells one."""
    read = option.read
    if read is None:
        return None

    def value(text: str) -> Any:
        try:
            return read(text)
        except RequestError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return value


def read_request(args: argparse.Namespace, **unasked: str) -> GenerationRequest:
    """What the options ask for; what is not given is as in any request, and the model the one used by default here.

    Args:
        unasked: fields that the command has no option for.

    Raises:
        RequestError: if standard input holds more than a prompt.
    """
    from flux2.store.local import default_model, resolve_name

    read: dict[str, Callable[[str], str]] = {"prompt": _prompt, "text": _as_typed, "model": resolve_name}
    values: dict[str, Any] = {}
    for field in fields(GenerationRequest):
        value, kind = getattr(args, field.name, None), said_of(field).kind
        if value is not None and not (value == "" and kind == "model"):
            repeated = isinstance(value, list)
            values[field.name] = tuple(value) if repeated else read[kind](value) if kind in read else value
    return GenerationRequest(**{"model": default_model(), **unasked, **values})


def _prompt(text: str) -> str:
    """The prompt, or what is piped in where it is -; no more of that is read than a prompt may have.

    Raises:
        RequestError: if there is more.
    """
    if text != "-":
        return _as_typed(text)
    text = read_input(MAX_PROMPT + 1)
    if len(text) > MAX_PROMPT:
        raise RequestError(
            f"Standard input holds more than a prompt's {MAX_PROMPT:,} characters; pipe the prompt alone into it."
        )
    return text.strip()


def _as_typed(text: str) -> str:
    """UTF-8 though the locale says otherwise, as over many an ssh: Python has kept such bytes as half surrogates."""
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        return text
