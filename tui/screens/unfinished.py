"""What became of runs that broke off: take one up, save its picture again, or let it go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flux2.humanize import printable
from flux2.paths import expand
from flux2.worker.commands import Discard, Resume, SaveAgain
from tui.lines.text import ellipsis
from tui.program import Program
from tui.screens.menu import Menu, MenuLine
from tui.screens.text_dialog import TextDialog

_MOST = 9
"""Runs offered at a time, the newest first."""
_PROMPT = 50  # characters


def summary(runs: tuple[dict[str, Any], ...], keys: str) -> str:
    """One sentence for whoever attaches, or sees a run break off; `keys` open the menu."""
    if len(runs) != 1:
        return f"{len(runs)} runs are unfinished: {keys} shows what can be done."
    (run,) = runs
    if run["picture"]:
        return f"A picture is not saved yet: {keys} saves it again, here or elsewhere."
    return f"A run broke off: {keys} takes it up {_from(run)}."


async def offer_unfinished(app: Program) -> None:
    """Ask which run, where there are several, and what to do with it. To be awaited in a worker of Textual's."""
    runs = app.session.unfinished[: -_MOST - 1 : -1]
    if not runs:
        return
    chosen = 0
    if len(runs) > 1:
        choices = [
            MenuLine(str(place), _prompt(run), _state(run), letter=str(place + 1)) for place, run in enumerate(runs)
        ]
        answer = await app.push_screen_wait(Menu("Unfinished runs", choices))
        if answer is None:
            return
        chosen = int(answer)
    run = runs[chosen]
    match await app.push_screen_wait(Menu(f"{_prompt(run)}: {printable(str(run['reason']))}", _choices(run))):
        case "resume":
            await app.ask_worker(Resume(run["id"]))
        case "save":
            await app.ask_worker(SaveAgain(run["id"]))
        case "elsewhere":
            wanted = Path(str(run["picture"]))
            title = "Save the picture as (a file, or a folder ending in /)"
            if path := await app.push_screen_wait(TextDialog(title, "a path", _empty, str(Path.home() / wanted.name))):
                where = str(expand(path.strip())) + ("/" if path.strip().endswith("/") else "")
                await app.ask_worker(SaveAgain(run["id"], where))
        case "discard":
            await app.ask_worker(Discard(run["id"]))


def _choices(run: dict[str, Any]) -> list[MenuLine]:
    if run["picture"]:
        first = [
            MenuLine("save", "save it again", f"as {printable(str(run['picture']))}", letter="s"),
            MenuLine("elsewhere", "save it elsewhere", "under a path of yours", letter="e"),
        ]
    else:
        first = [MenuLine("resume", "take it up", f"{_from(run)}, before what waits", letter="t")]
    return [*first, MenuLine("discard", "let it go", "what was kept of it is deleted", letter="d")]


def _prompt(run: dict[str, Any]) -> str:
    return ellipsis(printable(str(run["request"].get("prompt", ""))), _PROMPT)


def _state(run: dict[str, Any]) -> str:
    return "its picture is not saved" if run["picture"] else f"goes on {_from(run)}"


def _from(run: dict[str, Any]) -> str:
    return f"after step {run['step']} of {run['steps']}" if run["step"] else "from its beginning"


def _empty(text: str) -> str:
    return "" if text.strip() else "Type where the picture is to go."
