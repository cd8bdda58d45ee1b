"""A new worker in the place of one that is lost, can't be talked to, or is not what this screen would start."""

from __future__ import annotations

from tui.program import Program


async def replace_worker(app: Program) -> None:
    """What the key does; a run goes on to its end, or is broken off with the user's consent."""
    from flux2.worker.commands import Quit

    if app.session.in_the_way:
        _ask_to_end(app)
    elif app.session.trouble:
        app.attach(restart=True)
    elif await app.ask_worker(Quit()):
        app.show_news(app.session.retire())
        app.say("info", "A new worker takes over as soon as this one has nothing left to do.")


def _ask_to_end(app: Program) -> None:
    from tui.screens.confirm import Confirm

    def take(yes: bool | None) -> None:
        if yes:
            app.attach(restart=True, end_other=True)

    question = "End that worker? What it is making breaks off, and can be taken up again."
    app.push_screen(Confirm(question, "restart", lambda: app.session.in_the_way), take)
