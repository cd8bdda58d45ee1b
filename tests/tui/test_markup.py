"""Text of somebody's is shown as it is, whatever brackets are in it: Textual's markup is read nowhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from textual.content import Content

import tui
from tests.tui.pictures import FOX, made
from tests.tui.replay import INFO, REQUEST, ReplayBackend, events_of_a_run, left_after, queue_of
from tests.tui.screen import running, settled, text_of, until

TEXT = "[/][/b][//][a fox][@click=quit]x[/]\\[x][b"
"""What Textual's markup would take for ends of nothing, names of styles, links, an escape and an open bracket."""
SOURCES = sorted(Path(tui.__file__).parent.rglob("*.py"))


async def test_an_unfinished_run_can_be_taken_up_whatever_its_prompt_and_reason_are() -> None:
    text = TEXT
    run = left_after(3) | {"request": REQUEST | {"prompt": text}, "reason": f"Because of {text}."}
    backend = ReplayBackend(unfinished=(run, left_after(4, "r2")))
    async with running(backend) as (app, pilot):
        app.dashboard.set_focus(None)
        await pilot.press("b")
        await settled(pilot)
        assert text in text_of(app)
        await pilot.press("2")
        await settled(pilot)
        assert f"{text}: Because of" in text_of(app)
        await pilot.press("t")
        await until(pilot, lambda: backend.brought_back == [("resume", "r1")])


async def test_whatever_is_typed_into_a_field_is_shown_as_it_is() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        for key, keys in {"i": "[/]", "s": "[b", "d": "[/", "m": "[/]", "slash": "[/]", "e": "[/].png"}.items():
            app.prompt_history.add(f"{keys} of old")
            app.dashboard.set_focus(None)
            await pilot.press(key)
            if key in "dm":
                await pilot.press("tab")
            await pilot.press(*keys)
            await settled(pilot)
            assert keys in text_of(app)
            await pilot.press("enter")
            await settled(pilot)
            while app.screen is not app.dashboard:
                await pilot.press("escape")
                await settled(pilot)


async def test_notices_titles_and_panes_show_brackets(folder: Path) -> None:
    """All that a worker, a picture or a folder may be called, on every screen."""
    text = TEXT
    backend = ReplayBackend(
        past=tuple(events_of_a_run(7)),
        queue=queue_of(text, f"two {text}", f"three {text}"),
        info=replace(INFO, device=text),
    )
    name = text.replace("/", "|").replace("\\", "|")
    made(folder, name, 1, prompt=text, model=text[-7:])
    made(folder, f"{name}2", 2, prompt=FOX.prompt)
    async with running(backend) as (app, pilot):
        app.notify(text, title=text)
        app.say("error", text)
        app.dashboard.prompt.put(text)
        await settled(pilot)
        shown = text_of(app)
        assert shown.count(text) >= 5
        app.dashboard.set_focus(None)
        await pilot.press("ctrl+l", "3")
        await settled(pilot)
        await pilot.press("end")
        await until(pilot, lambda: f"bf16 {text[-7:]}" in text_of(app) and text[:12] in text_of(app))
        await pilot.press("delete")
        await until(pilot, lambda: f"Move {name[:12]}" in text_of(app))
        await pilot.press("escape", "enter")
        await until(pilot, lambda: text_of(app).startswith(f" {name}.png") or text_of(app).startswith(f"{name}.png"))


async def test_no_markup_of_somebodys_is_ever_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through all dialogs: what Textual parses is nothing that came from outside."""
    parsed: list[str] = []
    parse = Content.from_markup.__func__  # type: ignore[attr-defined]

    def noted(cls: type[Content], markup: str | Content, **variables: object) -> Content:
        parsed.append(str(markup))
        return parse(cls, markup, **variables)

    monkeypatch.setattr(Content, "from_markup", classmethod(noted))
    backend = ReplayBackend(unfinished=(left_after(3),))
    async with running(backend) as (app, pilot):
        app.say("warning", "[b]a notice[/b]")
        for key in ("m", "n", "d", "t", "i", "s", "e", "b", "comma", "question_mark", "3", "5", "ctrl+c"):
            app.dashboard.set_focus(None)
            await pilot.press(key)
            await settled(pilot)
            while app.screen is not app.dashboard:
                await pilot.press("escape")
                await settled(pilot)
    assert not [text for text in parsed if text]


# --- in the sources --------------------------------------------------------------------------------------------------

PLAIN = "tui.widgets.plain"
"""Where Textual's widgets for words are made to read no markup: the only module that may import them."""
FROM_TEXTUAL = {"Input", "TextArea"}
"""Widgets of Textual's that never read markup."""
READ_AS_MARKUP = {"border_title", "border_subtitle", "tooltip", "from_markup", "markup"}
"""Attributes, methods and arguments by which a text is read as markup, or which say whether it is."""


def _nodes() -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            yield path.name, node


def test_widgets_for_words_come_from_one_module() -> None:
    taken = [
        (name, alias.name)
        for name, node in _nodes()
        if isinstance(node, ast.ImportFrom) and node.module == "textual.widgets"
        for alias in node.names
    ]
    assert {widget for name, widget in taken if name not in ("plain.py", "inside_textual.py")} <= FROM_TEXTUAL


def test_nothing_else_reads_markup() -> None:
    used = [
        (name, node.lineno)
        for name, node in _nodes()
        if (isinstance(node, ast.Attribute) and node.attr in READ_AS_MARKUP)
        or (isinstance(node, ast.keyword) and node.arg in READ_AS_MARKUP - {"tooltip"} and not _says_no(node.value))
    ]
    assert {name for name, _ in used} <= {"plain.py", "inside_textual.py"}, used


def test_what_is_drawn_is_content_and_no_text_with_markup() -> None:
    """A widget's `render` that returned a `str` would have its markup read."""
    drawn = [
        (name, ast.unparse(node.returns))
        for name, node in _nodes()
        if isinstance(node, ast.FunctionDef) and node.name == "render" and node.returns is not None
    ]
    assert {returned for name, returned in drawn if name != "sharp_picture.py"} == {"Content"}


def _says_no(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False
