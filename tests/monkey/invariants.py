"""What holds whenever all is at rest, whatever has been done."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from textual.scrollbar import ScrollBar
from textual.timer import Timer

from tests.monkey.world import BrokenRuleError, World
from tests.tui.screen import text_of
from tui.app import Flux2App
from tui.widgets.key_bar import KeyBar

_WAYS_BACK = 14
"""So often escape is pressed to get to the dashboard: what a filter, a mode or a search adds is closed one by one."""
_NOTICES_GO = 40.0
"""Seconds after which no notice is shown any longer."""


def check(world: World) -> None:
    """
    Raises:
        BrokenRuleError: if one of them does not hold.
    """
    for rule in RULES:
        for what in rule(world):
            raise BrokenRuleError(rule.__name__.strip("_").replace("_", " "), what)


def _no_exception(world: World) -> Iterator[str]:
    """Or error that was logged; one that ends the program is noticed by its end."""
    yield from world.faults


def _the_screen_is_whole(world: World) -> Iterator[str]:
    """All rows, none wider than the terminal, and one that is asked to repaint does."""
    columns, rows = world.size
    strips = world.app.screen._compositor.render_strips()
    if len(strips) != rows or any(strip.cell_length != columns for strip in strips):
        widths = sorted({strip.cell_length for strip in strips})
        yield f"{len(strips)} rows of {widths} columns on a terminal of {columns}×{rows}"


def _quit_works(world: World) -> Iterator[str]:
    """It goes before whatever has the focus, in dialogs, too."""
    chain = world.app.screen._binding_chain
    bound = [binding for _, keys in chain for binding in keys.key_to_bindings.get("ctrl+q", ()) if binding.priority]
    if not any("quit" in binding.action for binding in bound):
        yield f"ctrl+q is {bound} on {world.app.screen}"


def _the_footer_is_up_to_date(world: World) -> Iterator[str]:
    """It shows the keys that act now, and no others."""
    for bar in world.app.screen.query(KeyBar):
        shown = list(bar._keys)
        bar._update(world.app.screen)
        if shown != bar._keys:
            gone, missing = (
                [key for key in shown if key not in bar._keys],
                [key for key in bar._keys if key not in shown],
            )
            yield f"shows {gone}, not {missing}" if gone or missing else "the order is another"


def _the_focus_is_somewhere_sensible(world: World) -> Iterator[str]:
    """Focus on what is on this screen, is shown, and takes keys; in a dialog somewhere, if it has a field or a list."""
    screen, focused = world.app.screen, world.app.focused
    if focused is None:
        if screen.is_modal and screen.focus_chain:
            yield f"nowhere in {screen}, which has {screen.focus_chain}"
    elif not focused.is_attached or focused.screen is not screen:
        yield f"on {focused}, which is not on {screen}"
    elif not focused.focusable:
        yield f"on {focused}, which takes no keys"
    elif not _too_small(world.app) and not all(
        node.display for node in focused.ancestors_with_self if node is not world.app
    ):
        yield f"on {focused}, which is hidden"


def _the_screen_says_what_the_worker_does(world: World) -> Iterator[str]:
    worker, session = world.worker, world.app.session
    if not worker.alive:
        if session.worker is not None or not session.trouble:
            yield "the worker is dead, and the screen does not know"
        return
    if session.worker is None:
        yield f"the worker lives, and the screen says {session.trouble!r}"
        return
    for name, here, there in (
        (
            "queue",
            [(item.id, item.running) for item in session.queue],
            [(i["id"], i["state"] == "running") for i in worker.items()],
        ),
        ("requests", [item.request for item in session.queue], [item["request"] for item in worker.items()]),
        ("held", session.held, worker.on_hold),
        ("unfinished", list(session.unfinished), worker.offers),
        ("running", session.running, worker.begun),
    ):
        if here != there:
            yield f"{name} is {there} and is shown as {here}"
    listed = [option.id for option in world.app.dashboard.queue.list.options]
    if listed != [item.id for item in session.queue]:
        yield f"the queue's pane lists {listed} of {[item.id for item in session.queue]}"


RULES: tuple[Callable[[World], Iterator[str]], ...] = (
    _no_exception,
    _the_screen_is_whole,
    _quit_works,
    _the_footer_is_up_to_date,
    _the_focus_is_somewhere_sensible,
    _the_screen_says_what_the_worker_does,
)


# --- what needs more than a look --------------------------------------------------------------------------------------


async def press_offered(world: World, number: int) -> None:
    """Press a key that the footer shows: something must come of it.

    Raises:
        BrokenRuleError: if nothing does.
    """
    keys = [key for bar in world.app.screen.query(KeyBar) for key in bar._keys if key[1] != "quit"]
    if not keys:
        return
    shown, label, key = keys[number % len(keys)]
    before = _impression(world)
    world.app.simulate_key(key)
    await world.settle()
    if not world.left and _impression(world) == before:
        raise BrokenRuleError("what is offered acts", f"{shown} {label} on {world.app.screen} does nothing")


def _impression(world: World) -> tuple[object, ...]:
    """Whatever a key may change, be there room to show it or not."""
    app, screen, library = world.app, world.app.screen, world.app.library
    notices = tuple(notice.identity for notice in app._notifications)
    told = app.session.logged, notices, app.clipboard, app.choices, world.worker.asked
    marks = [library.is_favourite(picture) for picture in library.pictures]
    plain = {name: value for name, value in vars(screen).items() if isinstance(value, bool | int | float | str)}
    actual = getattr(getattr(screen, "view", None), "actual", None)
    return text_of(app), tuple(app.screen_stack), app.focused, *told, marks, plain, actual, screen.classes


async def repaint(world: World) -> None:
    """ctrl+l sends the whole screen.

    Raises:
        BrokenRuleError: if nothing is written.
    """
    before = world.terminal.written
    world.type("\x0c")
    await world.settle()
    if not world.left and world.terminal.written == before:
        raise BrokenRuleError("the screen repaints", f"ctrl+l on {world.app.screen} writes nothing")


async def go_home(world: World) -> None:
    """Escape leads back to the dashboard from everywhere.

    Raises:
        BrokenRuleError: if it does not.
    """
    for _ in range(_WAYS_BACK):
        if len(world.app.screen_stack) == 1:
            return
        world.type("\x1b")
        await world.settle()
    raise BrokenRuleError("escape leads back", f"{world.app.screen_stack} is open after {_WAYS_BACK} times escape")


async def held_by(world: World) -> Counter[str]:
    """What the program holds when it shows the dashboard and nothing goes on."""
    await world.settle(_NOTICES_GO)
    app = world.app
    held = Counter(f"widget {type(widget).__name__}" for widget in app._registry if not isinstance(widget, ScrollBar))
    held.update(map(_name, asyncio.all_tasks()))
    del held["task MessagePump._process_messages"]  # one a widget
    held.update(filter(None, map(_descriptor, Path("/proc/self/fd").iterdir())))
    del held[f"timer Animator every {app.animator._timer._interval:.3g} s"]  # begins with the first of its animations
    held["threads"] = threading.active_count()
    held["subscriptions"] = sum(len(screen.bindings_updated_signal._subscriptions) for screen in app.screen_stack)
    return held


def _name(task: asyncio.Task[object]) -> str:
    coroutine = task.get_coro()
    timer = coroutine.cr_frame.f_locals.get("self") if coroutine.cr_frame else None  # type: ignore[union-attr]
    if isinstance(timer, Timer):
        callback = timer._callback
        while isinstance(callback, partial):
            callback = callback.args[0]
        return f"timer {getattr(callback, '__qualname__', type(callback).__name__)} every {timer._interval:.3g} s"
    return f"task {getattr(coroutine, '__qualname__', '?')}"


def _descriptor(link: Path) -> str:
    """What is open; "" for what is opened once and kept."""
    try:
        name = str(link.readlink())
    except OSError:  # closed meanwhile
        return ""
    return "" if "gallery.sqlite" in name else f"descriptor {name}"


def grown(before: Counter[str], after: Counter[str]) -> str:
    """What there is more of, "" for nothing."""
    return ", ".join(f"{name} {before[name]} -> {count}" for name, count in after.items() if count > before[name])


def _too_small(app: Flux2App) -> bool:
    return app.dashboard.has_class("-too-small") and app.screen is app.dashboard
