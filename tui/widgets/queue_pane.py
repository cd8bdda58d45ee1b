"""The runs that wait, and the one under way; hidden while there is nothing to wait for."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui.bindings import bindings
from tui.keymap import QUEUE_KEYS
from tui.session import QueueItem, Session, Topic
from tui.text import ellipsis, size
from tui.widgets.pane import Pane


class QueueList(OptionList):
    """One line per item; `del` takes a waiting one out."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(QUEUE_KEYS)

    class Removed(Message):
        """The user wants this item gone."""

        def __init__(self, item: str) -> None:
            super().__init__()
            self.item = item

    def action_remove(self) -> None:
        option = self.highlighted_option
        if option is not None and option.id and not option.disabled:
            self.post_message(self.Removed(option.id))


class QueuePane(Pane):
    TITLE = "Queue"
    TOPICS = Topic.QUEUE | Topic.RUN

    def __init__(self) -> None:
        self.list = QueueList(compact=True)
        self._shown: tuple[QueueItem, ...] = ()
        super().__init__(self.list, id="queue")

    def show(self, session: Session) -> None:
        if session.queue != self._shown:
            self._shown = session.queue
            self._fill(session.waiting)

    def on_resize(self) -> None:
        self._fill(sum(not item.running for item in self._shown))

    def _fill(self, waiting: int) -> None:
        self.heading.detail = Content.assemble((f"{waiting} waiting", "$muted"))
        highlighted = self.list.highlighted
        self.list.clear_options()
        width = self.list.scrollable_content_region.width
        self.list.add_options([Option(_line(item, width), id=item.id, disabled=item.running) for item in self._shown])
        if highlighted is not None and self.list.option_count:
            self.list.highlighted = min(highlighted, self.list.option_count - 1)


def _line(item: QueueItem, width: int) -> Content:
    """`▸ prompt  int4 1024×1024`, the prompt cut to what is left."""
    request = item.request
    side = [request.get(name) for name in ("width", "height")]
    what = f"{request.get('quantization', '')} " + size(*(value if isinstance(value, int) else None for value in side))
    room = max(12, width - len(what) - 5)
    return Content.assemble(
        ("▸ " if item.running else "  ", "$accent"),
        (f"{ellipsis(str(request.get('prompt', '')), room):<{room}}  ", "$foreground"),
        (what, "$muted"),
    )
