"""The runs that wait, and the one under way; hidden while there is nothing to wait for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.message import Message

from flux2.architecture.catalog import card_of
from flux2.dataclass_json import read_value
from flux2.humanize import clock, printable
from flux2.inputs.loras import Lora
from tui.keys.bindings import bindings
from tui.keys.keymap import QUEUE_KEYS
from tui.lines import handed_in
from tui.lines.text import fitted, room
from tui.state.session import QueueItem, Session, Topic
from tui.widgets.pane import Pane
from tui.widgets.plain import Option, OptionList

_SIZE = ("width", "height")
_WIDE = 60
"""Columns from which on there is room for more than what differs."""
_LEFT_OUT = {True: ("model", "steps", "loras"), False: ("model", "steps", "loras", "quantization", *_SIZE)}
"""What goes unsaid where it is the same for all, by whether the pane is wide."""


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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what would change something: nothing moves before the first that waits, nor behind the last."""
        if action == "move" and self.highlighted is not None and self._item:
            first = sum(option.disabled for option in self.options)
            return (self.highlighted > first) if parameters == (-1,) else (self.highlighted < self.option_count - 1)
        return bool(self._item) if action in ("move", "remove") else True

    def on_option_list_option_highlighted(self) -> None:
        self.screen.refresh_bindings()

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
        shared = _shared([item.request for item in self._shown], _LEFT_OUT[width >= _WIDE])
        said = [[*_facts(item.request, shared), end] for item, end in zip(self._shown, ends, strict=False)]
        columns = [max(map(len, column)) for column in zip(*said, strict=True)]
        for item, facts in zip(self._shown, said, strict=False):
            cells = [f"{fact:>{room}}" for fact, room in zip(facts, columns, strict=True) if room]
            self.list.add_option(Option(_line(item, "  ".join(cells), width), id=item.id, disabled=item.running))
        ids = [item.id for item in self._shown]
        if before is not None and before.id in ids:
            self.list.highlighted = ids.index(before.id)
        elif highlighted is not None and self.list.option_count:
            self.list.highlighted = min(highlighted, self.list.option_count - 1)


def _facts(request: Mapping[str, object], shared: set[str]) -> list[str]:
    """What a picture is asked to be, the same columns for each; "" where it is the same for all and goes unsaid."""
    card = card_of(request)
    width, height = (request.get(side) or (card.size[place] if card else None) for place, side in enumerate(_SIZE))
    steps = request.get("steps") or (card.steps if card else None)
    seed = request.get("seed")
    return [
        handed_in.summary(request),
        "" if "model" in shared else str(request.get("model", "")),
        "" if "steps" in shared or steps is None else f"{steps} steps",
        "" if "loras" in shared else _loras(request.get("loras")),
        "" if seed is None else f"seed {seed}",
        "" if "quantization" in shared else str(request.get("quantization", "")),
        "" if {*_SIZE} <= shared or not (width and height) else f"{width}×{height}",
    ]


def _loras(said: object) -> str:
    """`woodcut@0.8, ink`, of what a request on the wire says."""
    try:
        loras = read_value(said or [], tuple[Lora, ...], "loras")
    except ValueError:
        return ""
    return printable(", ".join(map(str, loras)))


def _shared(requests: Sequence[Mapping[str, object]], names: tuple[str, ...]) -> set[str]:
    """Which of these all of them have in common."""
    return {name for name in names if len({str(request.get(name)) for request in requests}) == 1}


def _line(item: QueueItem, facts: str, width: int) -> Content:
    """`▸ prompt  seed 1234  int4  1024×1024  in 6:12`, the prompt cut to what is left."""
    prompt = fitted(str(item.request.get("prompt", "")), room(width, len(facts), 4, least=8))
    return Content.assemble(
        ("▸ " if item.running else "  ", "$accent"), (f"{prompt}  ", "$foreground"), (facts, "$muted")
    )
