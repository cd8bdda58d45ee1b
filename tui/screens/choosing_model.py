"""A model is chosen: of a single file that two models have the shapes of, it is asked which it is of."""

from __future__ import annotations

from flux2.architecture.catalog import MODELS
from flux2.errors import Flux2Error
from flux2.store.assembling import single_place
from flux2.store.weights_folder import base_of, bases_to_choose
from tui.program import Program
from tui.screens.menu import Menu, MenuLine


def choose_model(app: Program, model: str) -> None:
    """Make the next picture with this model: a catalog name, a repository, a folder or a file."""
    place = single_place(model)
    if place is None:
        app.choose(app.choices.with_model(model))
        return
    try:
        bases = bases_to_choose(place)
        if not bases:
            app.choose(app.choices.with_model(str(place), base_of(place)))
            return
    except Flux2Error as error:
        app.say("error", str(error))
        return

    def take(base: str | None) -> None:
        if base:
            app.choose(app.choices.with_model(str(place), base))

    lines = [
        MenuLine(name, MODELS[name].title, f"{MODELS[name].steps} steps", letter)
        for letter, name in zip("abc", bases, strict=False)
    ]
    app.push_screen(Menu(f"{place.name} is of", lines, bases[0]), take)
