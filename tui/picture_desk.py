"""What is done with pictures across screens: the library they share, and the ways from one screen to another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.architecture.catalog import find_card, is_repo_id, label
from flux2.errors import Flux2Error
from flux2.humanize import printable
from flux2.request import MAX_SEED, QUANTIZATIONS, GenerationRequest
from flux2.request_fields import recipe
from flux2.worker.commands import Enqueue
from tui.state.library import PictureLibrary
from tui.state.session import Session, Topic

if TYPE_CHECKING:
    from flux2.pictures.gallery import Picture
    from tui.app import Flux2App
    from tui.screens.picture_screen import PictureScreen


_MORE = ("1", "2", "4", "8")


class PictureDesk:
    def __init__(self, app: Flux2App) -> None:
        self._app = app
        self.library = PictureLibrary(self._library_changed)
        self.last_viewed: Path | None = None
        """What the viewer showed last, so that the gallery can go on from there."""

    # --- news --------------------------------------------------------------------------------------------------------

    def finished(self, path: Path) -> None:
        """The worker has saved a picture."""
        self._app.run_worker(self.library.take_up(path), group="take-up")

    def show(self, session: Session, topics: Topic) -> None:
        """Let the picture screens know what the worker said."""
        for screen in self._screens():
            screen.show(session, topics)

    def _library_changed(self) -> None:
        for screen in self._screens():
            screen.show_pictures()

    def _screens(self) -> list[PictureScreen]:
        above = self._app.screen_stack[1:]
        if not above:
            return []
        from tui.screens.picture_screen import PictureScreen

        return [screen for screen in above if isinstance(screen, PictureScreen)]

    # --- ways --------------------------------------------------------------------------------------------------------

    def open_gallery(self) -> None:
        from tui.screens.gallery import GalleryScreen

        self._app.push_screen(GalleryScreen(self._app.options))

    def open_dashboard(self) -> None:
        while len(self._app.screen_stack) > 1:
            self._app.pop_screen()

    def compare(self, request: GenerationRequest) -> None:
        """This picture at every quantization; what is missing is queued."""
        model = self._model(request)
        if model is None:
            self._app.say(
                "warning",
                f"The picture's model, {printable(request.model)}, was a folder, of which pictures keep the name only; "
                "choose that folder as the model (m), then compare.",
            )
            return
        from tui.screens.compare import CompareScreen
        from tui.state.comparison import Comparison

        comparison = Comparison.of_quantizations(
            dataclasses.replace(request, model=model, residency="resident", output=None)
        )
        self._app.push_screen(CompareScreen(comparison, self._app.options))

    def compare_pictures(self, pictures: Sequence[Picture]) -> None:
        """These pictures with each other, the newest first."""
        from tui.screens.compare import MOST, CompareScreen
        from tui.state.comparison import Comparison

        if len(pictures) > MOST:
            self._app.say("warning", f"{len(pictures)} pictures are picked; the newest {MOST} are compared.")
        self._app.push_screen(CompareScreen(Comparison.of_pictures(pictures[:MOST]), self._app.options))

    def _model(self, request: GenerationRequest) -> str | None:
        """What the picture calls its model, as one that can be run: of a folder, a picture tells only the name."""
        if find_card(request.model) or is_repo_id(request.model) or Path(request.model).is_absolute():
            return request.model
        chosen = self._app.choices.model
        return chosen if label(chosen) == request.model else None

    # --- with a picture ----------------------------------------------------------------------------------------------

    def reuse(self, request: GenerationRequest) -> None:
        """Make this picture's settings those of the next one, and go and edit its prompt."""
        quantization = request.quantization if request.quantization in QUANTIZATIONS else QUANTIZATIONS[0]
        model = self._model(request) or request.model
        choices = self._app.choices.with_request(
            dataclasses.replace(
                recipe(request), model=model, quantization=quantization, residency=self._app.choices.residency
            )
        )
        self.open_dashboard()
        editor = self._app.dashboard.prompt.editor
        editor.text = choices.prompt
        editor.move_cursor(editor.document.end)
        editor.focus()
        self._app.choose(choices)

    def reuse_of_others(self, path: Path) -> None:
        """Make another program's settings those of the next picture, as far as they go, and go and edit its prompt."""
        from tui.screens.iterating import take_settings

        self.open_dashboard()
        self._app.run_worker(take_settings(self._app, path), group="settings-of")

    def more_like(self, request: GenerationRequest) -> None:
        """Ask how many, and queue them with the seeds that follow the picture's."""
        from tui.screens.menu import Choice, Menu

        async def take(count: str | None) -> None:
            for number in range(1, int(count or 0) + 1):
                seed = ((request.seed or 0) + number) % (MAX_SEED + 1)
                model = self._model(request) or request.model
                if await self.enqueue(dataclasses.replace(request, model=model, seed=seed, output=None)) is None:
                    return

        choices = [
            Choice(number, f"{number} more", f"seeds {_seeds(request, int(number))}", number) for number in _MORE
        ]
        self._app.push_screen(Menu("More like this", choices), take)

    async def toggle_favourite(self, picture: Picture) -> None:
        try:
            await self.library.toggle_favourite(picture)
        except Flux2Error as error:
            self._app.say("error", printable(str(error)))

    async def toggle_favourite_at(self, path: Path) -> None:
        """Mark, or unmark, a picture that may not be known yet."""
        picture = await self.library.take_up(path)
        if picture is None:
            self._app.say("warning", f"{printable(str(path))} is not there any more.")
            return
        await self.toggle_favourite(picture)
        marked = self.library.is_favourite(picture)
        self._app.say("info", f"{printable(path.name)} is {'now' if marked else 'no longer'} a favourite.")

    async def enqueue(self, request: GenerationRequest) -> str | None:
        """Queue it as it is; the run's id, or None where the worker refused, which is shown."""
        try:
            return (await self._app.worker.ask(Enqueue(request))).run
        except Flux2Error as error:
            self._app.say("error", printable(str(error)))
            return None


def _seeds(request: GenerationRequest, count: int) -> str:
    first, last = (((request.seed or 0) + number) % (MAX_SEED + 1) for number in (1, count))
    return f"{first}" if count == 1 else f"{first} to {last}"
