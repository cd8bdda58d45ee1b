"""A request's options on the command line, made of what its fields say of themselves."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from flux2.commands.pictures_in import TakeIn, kept, settings_of, with_roles
from flux2.errors import RequestError
from flux2.inputs.checks import MAX_PROMPT
from flux2.request import GenerationRequest
from flux2.request_fields import Option, said_of
from flux2.streams import read_input


def add_request_options(parser: argparse.ArgumentParser, *, planned: bool = False) -> None:
    """An option for every field that may be chosen on the command line.

    Args:
        planned: those alone that the memory of a run may depend on.
    """
    parser.add_argument(
        "--settings-of",
        "--from",
        type=Path,
        metavar="PICTURE",
        help="take the settings of a picture, and the pictures that it was made with, where no option says otherwise",
    )
    hints = get_type_hints(GenerationRequest)
    under: dict[str, argparse._ActionsContainer] = {"": parser}
    for field in fields(GenerationRequest):
        option = said_of(field).option
        if option is None or (planned and not said_of(field).planned):
            continue
        if option.group not in under:
            under[option.group] = parser.add_argument_group(option.group)
        _add(under[option.group], field.name, option, hints[field.name], said_of(field).choices)


def _add(parser: argparse._ActionsContainer, name: str, option: Option, hint: Any, choices: tuple[str, ...]) -> None:
    named: dict[str, Any] = {"dest": name} if option.names[0].startswith("-") else {"nargs": "?"}
    if hint is bool:
        parser.add_argument(*option.names, **named, action="store_true", help=option.help)
        return
    if bool in get_args(hint):  # yes, no, or as it is without being said
        parser.add_argument(*option.names, **named, action=argparse.BooleanOptionalAction, help=option.help)
        return
    kind = _reader(option) or next((kind for kind in (int, float) if kind in (hint, *get_args(hint))), str)
    parser.add_argument(
        *option.names,
        **named,
        type=kind,
        action="append" if option.repeated else "store",
        choices=choices or None,
        metavar=option.metavar,
        help=option.help,
    )
    if option.several:
        parser.add_argument(
            *option.several,
            dest=name,
            type=kind,
            action="extend",
            nargs="+",
            metavar=option.metavar,
            help=argparse.SUPPRESS,
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


def read_request(args: argparse.Namespace, take_in: TakeIn | None = None, **unasked: str) -> GenerationRequest:
    """What the options ask for; what is not given is as in any request, and the model the one used by default here.

    Args:
        take_in: what becomes of the pictures that are named (`flux2.commands.pictures_in`); by default they
            are kept for a run.
        unasked: fields that the command has no option for.

    Raises:
        RequestError: if there is no prompt, or standard input holds more than one.
        Flux2Error: if a picture can't be read.
    """
    from flux2.store.local import default_model, resolve_name

    read: dict[str, Callable[[str], str]] = {"prompt": _prompt, "text": _as_typed, "model": resolve_name}
    values: dict[str, Any] = {}
    for field in fields(GenerationRequest):
        value, kind = getattr(args, field.name, None), said_of(field).kind
        if value is not None and not (value == "" and kind == "model"):
            repeated = isinstance(value, list)
            values[field.name] = tuple(value) if repeated else read[kind](value) if kind in read else value
    before: dict[str, Any] = {"model": default_model(), **unasked}
    if args.settings_of is not None:
        before = settings_of(args.settings_of, {"prompt": "", **before}, with_pictures="references" not in values)
        before |= {"prompt_template": None} if "prompt" in values else {}
    if "prompt" not in {**before, **values}:
        raise RequestError("There is no prompt; say what the picture should show.")
    return GenerationRequest(**with_roles(values, take_in or kept(), before))


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
