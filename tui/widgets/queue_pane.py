"""The runs that wait, and the one under way; hidden while there is nothing to wait for."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from flux2.humanize import clock
from tui.bindings import bindings
from tui.keymap import QUEUE_KEYS
from tui.session import QueueItem, Session, Topic
from tui.text import ellipsis, size
from tui.widgets.pane import Pane


class QueueList(OptionList):
    """One line per item; its keys change a waiting one's place, edit it or take it out."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(QUEUE_KEYS)

    class Removed(Message):
        """The user wants this item gone."""

        def __init__(self, item: str) -> None:
            super().__init__()
            self.item = item

    class Moved(Message):
        """The user wants this item earlier (-1) or later (1)."""

        def __init__(self, item: str, by: int) -> None:
            super().__init__()
            self.item = item
            self.by = by

    class Edited(Message):
        """The user wants to change what this item asks for."""

        def __init__(self, item: str) -> None:
            super().__init__()
            self.item = item

    @property
    def _item(self) -> str:
        """The highlighted item's id; "" for none, or one under way."""
        option = self.highlighted_option
        return option.id if option is not None and option.id and not option.disabled else ""

    def action_remove(self) -> None:
        if self._item:
            self.post_message(self.Removed(self._item))

    def action_move(self, by: int) -> None:
        if self._item:
            self.post_message(self.Moved(self._item, by))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if self._item:
            self.post_message(self.Edited(self._item))


class QueuePane(Pane):
    TITLE = "Queue"
    HELP = "What waits, each with the time until it is done. It outlives this screen and the worker."
    TOPICS = Topic.QUEUE | Topic.RUN

    def __init__(self) -> None:
        self.list = QueueList(compact=True)
        self._shown: tuple[QueueItem, ...] = ()
        self._ends: tuple[str, ...] = ()
        self._held = False
        super().__init__(self.list, id="queue")

    def show(self, session: Session) -> None:
        ends = tuple("" if end is None else f"in {clock(end)}" for end in session.waiting_ends())
        new = (session.queue, ends, session.held)
        if new != (self._shown, self._ends, self._held):
            self._shown, self._ends, self._held = new
            self._fill()

    def on_resize(self) -> None:
        self._fill()

    def _fill(self) -> None:
        """All lines anew; the highlight stays with its item, or with its place where that is gone."""
        waiting = f"{len(self._ends)} waiting"
        self.heading.detail = Content.assemble(
            (f"{waiting}, held: h lets them go on", "$warning") if self._held else (waiting, "$muted")
        )
        highlighted, before = self.list.highlighted, self.list.highlighted_option
        self.list.clear_options()
        width = self.list.scrollable_content_region.width
        ends = ["" for item in self._shown if item.running] + list(self._ends)
        for item, end in zip(self._shown, ends, strict=False):
            self.list.add_option(Option(_line(item, end, width), id=item.id, disabled=item.running))
        ids = [item.id for item in self._shown]
        if before is not None and before.id in ids:
            self.list.highlighted = ids.index(before.id)
        elif highlighted is not None and self.list.option_count:
            self.list.highlighted = min(highlighted, self.list.option_count - 1)


def _line(item: QueueItem, end: str, width: int) -> Content:
    """`▸ prompt  int4 1024×1024  in 6:12`, the prompt cut to what is left."""
    request = item.request
    side = [request.get(name) for name in ("width", "height")]
    what = f"{request.get('quantization', '')} " + size(*(value if isinstance(value, int) else None for value in side))
    what += f"  {end:>8}" if width >= 60 or end else ""
    room = max(12, width - len(what) - 5)
    return Content.assemble(
        ("▸ " if item.running else "  ", "$accent"),
        (f"{ellipsis(str(request.get('prompt', '')), room):<{room}}  ", "$foreground"),
        (what, "$muted"),
    )
