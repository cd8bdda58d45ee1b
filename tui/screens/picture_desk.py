"""What is done with pictures across screens, and the ways from one screen to another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.architecture.catalog import find_card, is_repo_id, label
from flux2.errors import Flux2Error
from flux2.humanize import printable
from flux2.inputs.checks import MAX_SEED, QUANTIZATIONS
from flux2.request import GenerationRequest
from flux2.request_fields import recipe
from tui.program import Program
from tui.state.handing_in import handed_in
from tui.state.session import Session, Topic

if TYPE_CHECKING:
    from flux2.pictures.gallery import Picture
    from tui.screens.picture_screen import PictureScreen
    from tui.state.comparison import Comparison


_MORE = ("1", "2", "4", "8")

# --- news -------------------------------------------------------------------------------------------------------------


def finished(app: Program, path: Path) -> None:
    """The worker has saved a picture."""
    app.run_worker(app.library.take_up(path), group="take-up")


def show(app: Program, session: Session, topics: Topic) -> None:
    """Let the picture screens know what the worker said."""
    for screen in _screens(app):
        screen.show(session, topics)


def show_library(app: Program) -> None:
    for screen in _screens(app):
        screen.show_pictures()


def _screens(app: Program) -> list[PictureScreen]:
    above = app.screen_stack[1:]
    if not above:
        return []
    from tui.screens.picture_screen import PictureScreen

    return [screen for screen in above if isinstance(screen, PictureScreen)]


# --- ways -------------------------------------------------------------------------------------------------------------


def open_gallery(app: Program) -> None:
    from tui.screens.gallery import GalleryScreen

    app.push_screen(GalleryScreen(app.options))


def open_dashboard(app: Program) -> None:
    while len(app.screen_stack) > 1:
        app.pop_screen()


def compare(app: Program, request: GenerationRequest) -> None:
    """This picture at every quantization; what is missing is queued."""
    from tui.state.comparison import Comparison

    _compare(app, request, Comparison.of_quantizations)


def compare_strengths(app: Program, request: GenerationRequest) -> None:
    """This picture with its LoRAs at several strengths; what is missing is queued."""
    from tui.state.comparison import Comparison

    _compare(app, request, Comparison.of_strengths)


def _compare(app: Program, request: GenerationRequest, of: Callable[[GenerationRequest], Comparison]) -> None:
    model = _model(app, request)
    if model is None:
        app.say(
            "warning",
            f"The picture's model, {printable(request.model)}, was a folder, of which pictures keep the name only; "
            "choose that folder as the model (m), then compare.",
        )
        return
    from tui.screens.compare import CompareScreen

    asked = dataclasses.replace(request, model=model, residency="resident", output=None)
    app.push_screen(CompareScreen(of(asked), app.options))


def compare_pictures(app: Program, pictures: Sequence[Picture]) -> None:
    """These pictures with each other, the newest first."""
    from tui.screens.compare import MOST, CompareScreen
    from tui.state.comparison import Comparison

    if len(pictures) > MOST:
        app.say("warning", f"{len(pictures)} pictures are picked; the newest {MOST} are compared.")
    app.push_screen(CompareScreen(Comparison.of_pictures(pictures[:MOST]), app.options))


def before_and_after(app: Program, picture: Picture) -> None:
    """What a picture was made of, beside it; flicker and difference as for any comparison."""
    from tui.screens.compare import MOST, CompareScreen
    from tui.state.comparison import Comparison

    if picture.request is not None and made_of_pictures(picture):
        comparison = Comparison.of_edit(picture, picture.request)
        del comparison.entries[MOST:]
        app.push_screen(CompareScreen(comparison, app.options))


def made_of_pictures(picture: Picture) -> bool:
    """Whether pictures were handed in for this one."""
    return picture.request is not None and any(item.role != "mask" for item in handed_in(picture.request))


def _model(app: Program, request: GenerationRequest) -> str | None:
    """What the picture calls its model, as one that can be run: of a folder, a picture tells only the name."""
    if find_card(request.model) or is_repo_id(request.model) or Path(request.model).is_absolute():
        return request.model
    chosen = app.choices.model
    return chosen if label(chosen) == request.model else None


# --- with a picture ---------------------------------------------------------------------------------------------------


def reuse(app: Program, request: GenerationRequest) -> None:
    """Make this picture's settings those of the next one, and go and edit its prompt."""
    quantization = request.quantization if request.quantization in QUANTIZATIONS else QUANTIZATIONS[0]
    model = _model(app, request) or request.model
    choices = app.choices.with_request(
        dataclasses.replace(recipe(request), model=model, quantization=quantization, residency=app.choices.residency)
    )
    open_dashboard(app)
    app.put_prompt(choices.prompt)
    app.choose(choices)


def reuse_of_others(app: Program, path: Path) -> None:
    """Make another program's settings those of the next picture, as far as they go, and go and edit its prompt."""
    from tui.screens.iterating import take_settings

    open_dashboard(app)
    app.run_worker(take_settings(app, path), group="settings-of")


def more_like(app: Program, request: GenerationRequest) -> None:
    """Ask how many, and queue them with the seeds that follow the picture's."""
    from tui.screens.menu import Menu, MenuLine

    async def take(count: str | None) -> None:
        for number in range(1, int(count or 0) + 1):
            seed = ((request.seed or 0) + number) % (MAX_SEED + 1)
            model = _model(app, request) or request.model
            if await enqueue(app, dataclasses.replace(request, model=model, seed=seed, output=None)) is None:
                return

    choices = [MenuLine(number, f"{number} more", f"seeds {_seeds(request, int(number))}", number) for number in _MORE]
    app.push_screen(Menu("More like this", choices), take)


async def toggle_favourite(app: Program, picture: Picture) -> None:
    try:
        await app.library.toggle_favourite(picture)
    except Flux2Error as error:
        app.say("error", printable(str(error)))


async def toggle_favourite_at(app: Program, path: Path) -> None:
    """Mark, or unmark, a picture that may not be known yet."""
    picture = await app.library.take_up(path)
    if picture is None:
        app.say("warning", f"{printable(str(path))} is not there any more.")
        return
    await toggle_favourite(app, picture)
    marked = app.library.is_favourite(picture)
    app.say("info", f"{printable(path.name)} is {'now' if marked else 'no longer'} a favourite.")


async def enqueue(app: Program, request: GenerationRequest) -> str | None:
    """Queue it as it is; the run's id, or None where the worker refused, which is shown."""
    from flux2.worker.commands import Enqueue

    try:
        return (await app.worker.ask(Enqueue(request))).run
    except Flux2Error as error:
        app.say("error", printable(str(error)))
        return None


def _seeds(request: GenerationRequest, count: int) -> str:
    first, last = (((request.seed or 0) + number) % (MAX_SEED + 1) for number in (1, count))
    return f"{first}" if count == 1 else f"{first} to {last}"
