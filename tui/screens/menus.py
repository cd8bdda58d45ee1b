"""The menus of the dashboard: each asks, and puts the answer into the choices.

They open at once, within the key's own handler, so that keys typed ahead over a slow line reach the menu.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.content import Content

from flux2.architecture.catalog import MODELS, ModelCard
from flux2.architecture.levels import LEVELS
from flux2.errors import RequestError
from flux2.humanize import either, gigabytes, parameters
from flux2.inputs.checks import AUTO
from flux2.request import GenerationRequest
from tui.program import Program
from tui.screens.choosing_model import choose_model
from tui.screens.menu import Menu, MenuLine, Toggle
from tui.state.choices import QUANTIZATION_LINES

if TYPE_CHECKING:
    from flux2.store.weights_folder import WeightsFile

_LETTERS = "abcdefghi"
_LEVEL_LETTERS = {level.name: level.letter for level in LEVELS.values()} | {AUTO: "a"}
_ALL_MODELS = "all models"
"""In the place of a model's name: no repository and no folder of use is called that."""
_SIZE = re.compile(r"\s*(\d+)\s*[x×*, ]\s*(\d+)\s*")


def ask_model(app: Program) -> None:
    from flux2.store.weights_folder import list_weights

    choices = [
        MenuLine(card.name, card.title, model_line(card), note=_model_note(app, card), letter=letter)
        for letter, card in zip(_LETTERS, MODELS.values(), strict=False)
    ]
    choices += [MenuLine(str(file.path), file.path.name, _file_line(file)) for file in list_weights()]
    choices.append(MenuLine(_ALL_MODELS, "All models", "download, pause, delete", letter="5"))

    def take(model: str | None) -> None:
        if model == _ALL_MODELS:
            app.open_models()
        elif model:
            choose_model(app, model.strip())

    app.push_screen(Menu("Model", choices, app.choices.model, typed="or a Hub repository, a folder or a file"), take)


def model_line(card: ModelCard) -> str:
    """What tells one model from another, in a line."""
    from flux2.store.local import find_local, is_ready

    folder = find_local(card.name)
    here = "here" if folder and is_ready(folder) else "not here"
    gated = "gated, " if card.gated else ""
    return f"{parameters(card.parameters * 1e9):>6}  {here:<8}  {gated}{card.licence}"


def _file_line(file: WeightsFile) -> str:
    return (
        f"{gigabytes(file.size):>5} GB  a file of {either(file.bases) if file.bases else 'no model that is known here'}"
    )


def _model_note(app: Program, card: ModelCard) -> Content:
    from tui.lines.memory_line import memory_line

    memory = memory_line(app.choices.with_model(card.name), app.session)
    return Content.assemble(memory, (f", {card.steps} steps", "$muted"))


def ask_quantization(app: Program) -> None:
    """Menu of the levels, with what each takes at the current size and residency; r goes through the residencies."""

    def switch() -> list[MenuLine]:
        app.choose(app.choices.next_residency())
        return _levels(app)

    def take(quantization: str | None) -> None:
        if quantization:
            app.choose(replace(app.choices, quantization=quantization))

    toggle = Toggle("r", "kept or read each step", switch)
    app.push_screen(Menu("Quantization", _levels(app), app.choices.quantization, toggle=toggle), take)


def _levels(app: Program) -> list[MenuLine]:
    from tui.lines.memory_line import memory_line

    residency = app.choices.residency
    return [
        MenuLine(
            name,
            name if residency == "resident" else f"{name} {residency}",
            line,
            note=memory_line(replace(app.choices, quantization=name), app.session),
            letter=_LEVEL_LETTERS[name],
        )
        for name, line in QUANTIZATION_LINES.items()
    ]


def ask_size(app: Program) -> None:
    card = app.choices.card
    sizes = card.sizes if card else ()
    choices = [
        MenuLine(f"{width}x{height}", f"{width}×{height}", _shape(width, height), letter)
        for letter, (width, height) in zip(_LETTERS, sizes, strict=False)
    ]

    def take(answer: str | None) -> None:
        if answer and (size := _SIZE.fullmatch(answer)):
            app.choose(replace(app.choices, width=int(size[1]), height=int(size[2])))

    current = "{}x{}".format(*app.choices.size)
    app.push_screen(Menu("Size", choices, current, typed="or type 640x480", check=size_complaint), take)


def size_complaint(text: str) -> str:
    """What is wrong with a typed size, "" if nothing."""
    size = _SIZE.fullmatch(text)
    if size is None:
        return "Write width x height, as 640x480."
    try:
        GenerationRequest(prompt="-", width=int(size[1]), height=int(size[2])).validated()
    except RequestError as error:
        return str(error)
    return ""


def _shape(width: int, height: int) -> str:
    return "square" if width == height else "landscape" if width > height else "portrait"


def ask_theme(app: Program, then: Callable[[], None] = lambda: None) -> None:
    """The picker previews: the whole screen wears the highlighted theme until one is chosen or refused."""
    before = app.theme
    choices = [
        MenuLine(name, named.title, named.about, letter)
        for letter, (name, named) in zip(_LETTERS, app.preferences.themes.items(), strict=False)
    ]

    def preview(name: str) -> None:
        app.theme = name

    def take(name: str | None) -> None:
        app.theme = before
        if name:
            app.preferences.set("theme", name)
        then()

    app.push_screen(Menu("Theme", choices, before, on_highlight=preview), take)
