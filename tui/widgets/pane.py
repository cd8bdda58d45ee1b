"""What all panes share: a one-row heading with a rule, and what they hear about the session."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tui.keys.bindings import bindings
from tui.keys.keymap import PANE_KEYS
from tui.lines.text import room
from tui.state.session import Session, Topic


class Heading(Widget):
    """`Title ───────── detail`; where there is little room the rule gives way to the detail, and that to the title."""

    title = reactive("")
    detail: reactive[Content] = reactive(Content(""))

    def __init__(self, title: str) -> None:
        super().__init__()
        self.set_reactive(Heading.title, title)

    def render(self) -> Content:
        width = self.size.width
        title, detail = self.title, self.detail
        beside = room(width, len(title), 1, least=0)
        if detail.cell_length > beside:
            detail = detail.truncate(beside, ellipsis=True) if beside >= 6 else Content("")
        rule = room(beside, detail.cell_length + 1 if detail else 0, least=0)
        style = "bold $accent" if self.parent is not None and self.parent.has_pseudo_class("focus-within") else "bold"
        parts: list[Content | tuple[str, str]] = [(title, style), (" ", "")]
        if rule:
            parts += [("─" * rule, "$rule"), (" " if detail else "", "")]
        parts.append(detail)
        return Content.assemble(*parts)


class Pane(Container):
    """A heading above one body. Subclasses fill `show` in and name what they listen to.

    One whose body takes no keys has the focus itself, so that it can be maximized and helped with.
    """

    ALLOW_MAXIMIZE = True
    BINDINGS: ClassVar[list[BindingType]] = bindings(PANE_KEYS)
    TITLE: ClassVar[str]
    HELP: ClassVar[str]
    """What it shows and what can be done there, for the help page."""
    TOPICS: ClassVar[Topic] = Topic(0)

    def __init__(self, *body: Widget, id: str | None = None) -> None:
        self.heading = Heading(self.TITLE)
        super().__init__(self.heading, *body, id=id)

    def show(self, session: Session) -> None:
        """Bring the pane up to date; called when one of its topics changed, at most a few times a second."""

    def action_leave_pane(self) -> None:
        self.screen.set_focus(None)

    def on_focus(self) -> None:
        self.heading.refresh()

    def on_blur(self) -> None:
        self.heading.refresh()

    def on_descendant_focus(self) -> None:
        self.heading.refresh()

    def on_descendant_blur(self) -> None:
        self.heading.refresh()
