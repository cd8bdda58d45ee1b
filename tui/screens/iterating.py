"""Ways from one picture to the next: what the dashboard's keys for that do, one function per key."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

from textual.app import SuspendNotSupported

from flux2.errors import Flux2Error, RequestError, WorkerError
from flux2.humanize import printable
from flux2.inputs.checks import MAX_SEED
from flux2.request import GenerationRequest
from tui.program import Program
from tui.screens import picture_desk
from tui.screens.queued_edit import QueuedEdit
from tui.terminal.editor import EditorError, edit, editor_command
from tui.widgets.prompt_pane import PromptEditor

_TO_THE_FRONT = -1000


async def make_picture(app: Program, prompt: str, edited: QueuedEdit) -> None:
    """What is chosen, queued, once the user has settled how it is to fit; or put back into its place in the queue."""
    from flux2.worker.commands import Enqueue
    from tui.screens.fit_question import ask_if_too_large

    choices = replace(app.choices, prompt=prompt)
    try:
        request = choices.request()
    except RequestError as error:
        app.say("warning", str(error))
        return
    if not edited.run:  # one that waits keeps what it was asked for with
        request = replace(request, keep_text_encoder=app.preferences.settings.keep_text_encoder)
    settled = await ask_if_too_large(app, request)
    if settled is None:
        return
    if edited.run:
        await edited.put_back(app, settled)
    elif await app.ask_worker(Enqueue(settled)):
        _remember_prompt(app, settled)
        app.choose(app.choices.after(settled))


def _remember_prompt(app: Program, request: GenerationRequest) -> None:
    try:
        app.prompt_history.add(request.prompt_template or request.prompt, request.prompt)
    except OSError as error:
        app.say("warning", f"The prompt history can't be written: {error}")


def edit_elsewhere(app: Program, editor: PromptEditor) -> None:
    """The prompt in the user's own editor, which has the terminal meanwhile. Runs go on."""
    try:
        command = editor_command()
        with app.suspend():
            text = _edited(editor.text, command)
    except SuspendNotSupported:
        app.say("warning", "An editor needs the terminal, which this screen does not have.")
        return
    except EditorError as error:
        app.say("error", str(error))
        return
    finally:
        app.refresh(layout=True)
    if isinstance(text, EditorError):
        app.say("error", str(text))
        return
    if text != editor.text:
        editor.text = text
        editor.move_cursor(editor.document.end)
    editor.focus()


def _edited(text: str, command: list[str]) -> str | EditorError:
    """The editor's text, or its error: an exception would keep Textual from taking the terminal back."""
    try:
        return edit(text, command)
    except EditorError as error:
        return error
    except OSError as error:
        return EditorError(f"The prompt can't be handed to an editor: {error}.")


def search_history(app: Program) -> None:
    """An earlier prompt, found by a few letters."""
    from tui.screens.history_search import HistorySearch

    def take(prompt: str | None) -> None:
        if prompt is not None:
            app.put_prompt(prompt)

    app.push_screen(HistorySearch(app.prompt_history.entries), take)


async def reject(app: Program) -> None:
    """Cancel what runs and ask for its picture with the next seed, before all that waits."""
    from flux2.worker.commands import Cancel, Enqueue, Move

    run = app.session.run
    if run is None or not run.request:
        return
    request = next_try(GenerationRequest.from_dict(run.request), app.choices.seed_mode)
    try:
        again = await app.worker.ask(Enqueue(request))
        with contextlib.suppress(WorkerError):  # where nothing ran it has begun already
            await app.worker.ask(Move(again.run, _TO_THE_FRONT))
        if app.session.running:
            await app.worker.ask(Cancel(run.run))
    except Flux2Error as error:
        app.say("error", str(error))


def next_try(request: GenerationRequest, seed_mode: str) -> GenerationRequest:
    """The request with another seed, wildcards drawn anew: a random one, or, where seeds are counted, the next."""
    count = seed_mode != "random" and request.seed is not None
    seed = ((request.seed or 0) + 1) % (MAX_SEED + 1) if count else None
    return replace(request, seed=seed, output=None).resolved()


def more_like_this(app: Program) -> None:
    """So many more of the picture shown; asks how many."""
    run = app.session.run
    if run is not None and run.request:
        picture_desk.more_like(app, GenerationRequest.from_dict(run.request))


def ask_for_picture(app: Program) -> None:
    """The settings of any picture, by its path."""
    from tui.screens.text_dialog import TextDialog
    from tui.terminal.pasted_paths import absent, picture_path

    def take(text: str | None) -> None:
        if text is not None:
            app.run_worker(take_settings(app, picture_path(text)), group="settings-of")

    dialog = TextDialog(
        "Settings of a picture",
        "path of a PNG, JPEG or WebP, typed, pasted or dragged here",
        lambda text: absent(picture_path(text)),
    )
    app.push_screen(dialog, take)


async def take_settings(app: Program, path: Path) -> None:
    """Make a picture's settings those of the next one, and say what could not be taken; without a prompt ours stays."""
    from flux2.pictures.foreign import taken_settings

    unsaid = {"model": app.choices.model, "quantization": app.choices.quantization, "prompt": app.choices.prompt}
    try:
        taken = await asyncio.to_thread(taken_settings.take_settings, path, unsaid)
    except Flux2Error as error:
        app.say("error", printable(str(error)))
        return
    app.choose(app.choices.with_request(taken.request))
    app.put_prompt(app.choices.prompt)
    said = f"Settings of {path.name} ({taken.found.program}) taken. {taken.left_out}".rstrip()
    app.say("info" if taken.is_all else "warning", printable(said))
