"""The pictures that are handed in with the next request: each with its thumbnail, number, size and cost.

Where there is little room they are one line; where there are none the pane is not there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from flux2.errors import Flux2Error
from tui.keys.bindings import bindings
from tui.keys.keymap import PICTURES_IN_KEYS
from tui.lines import handed_in as said
from tui.lines.text import fitted, room
from tui.program import Program
from tui.state.choices import Choices
from tui.state.handing_in import HandedIn, handed_in, title
from tui.terminal.inside_textual import Chosen
from tui.terminal.picture import fit, half_cells
from tui.terminal.probe import cell_pixels
from tui.widgets.pane import Pane

CARD = 38
"""Columns of a picture with its lines."""
THUMBNAIL = 12
"""Columns of these for the thumbnail, at most."""
_SIDE = 64
"""Pixels of a thumbnail."""
_GONE = "gone"


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of one."""

    item: HandedIn
    lines: tuple[str, ...]
    """The first is its title."""


class PictureCards(Widget, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = bindings(PICTURES_IN_KEYS)
    COMPONENT_CLASSES: ClassVar[set[str]] = {"cards--plain", "cards--muted", "cards--cursor", "cards--letter"}
    app: Program

    class Removed(Message):
        """The user wants this one gone."""

        def __init__(self, item: HandedIn) -> None:
            super().__init__()
            self.item = item

    class Moved(Message):
        """The user wants this reference earlier (-1) or later (1)."""

        def __init__(self, item: HandedIn, by: int) -> None:
            super().__init__()
            self.item = item
            self.by = by

    class Opened(Chosen):
        """The user wants to change what is handed in."""

    def __init__(self) -> None:
        super().__init__()
        self.cards: tuple[Card, ...] = ()
        self.selected = 0
        self.thumbnails: dict[tuple[str, int], list[Strip] | str] = {}
        """Lines of half-cells, or a word in their place, by digest and rows."""
        self._loading = False

    @property
    def settled(self) -> bool:
        """Whether every thumbnail is there."""
        return not self._missing()

    @property
    def current(self) -> HandedIn | None:
        return self.cards[self.selected].item if self.cards else None

    def show(self, cards: tuple[Card, ...]) -> None:
        """Take these over; the cursor stays at its place."""
        if cards != self.cards:
            self.cards = cards
            self.selected = max(0, min(self.selected, len(cards) - 1))
            known = {card.item.picture.digest for card in cards}
            self.thumbnails = {key: drawn for key, drawn in self.thumbnails.items() if key[0] in known}
            self.refresh()
            self._load_soon()
            self.screen.refresh_bindings()

    # --- keys --------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what would change something: a reference moves where there is one to change places with."""
        item = self.current
        match action, parameters:
            case "move", (int(by), *_):
                count = sum(card.item.role == "reference" for card in self.cards)
                return item is not None and item.role == "reference" and 0 <= item.place + by < count
            case "at", (int(by), *_):
                return 0 <= self.selected + by < len(self.cards)
            case _:
                return item is not None if action in ("remove", "open") else True

    def action_at(self, by: int) -> None:
        self.selected += by
        self.refresh()
        self.screen.refresh_bindings()

    def action_move(self, by: int) -> None:
        if (item := self.current) is not None:
            self.selected += by
            self.post_message(self.Moved(item, by))

    def action_remove(self) -> None:
        if (item := self.current) is not None:
            self.post_message(self.Removed(item))

    def action_open(self) -> None:
        self.post_message(self.Opened())

    def on_click(self, event: events.Click) -> None:
        place = self._first + event.x // CARD
        if self.is_line or place >= len(self.cards):
            self.post_message(self.Opened())
        else:
            self.selected = place
            self.refresh()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_resize(self) -> None:
        self.refresh()
        self._load_soon()

    # --- thumbnails --------------------------------------------------------------------------------------------------

    @property
    def is_line(self) -> bool:
        return self.size.height < 4

    def _missing(self) -> list[str]:
        if self.is_line or self.app.options.graphics == "none":
            return []
        digests = (card.item.picture.digest for card in self.cards)
        return [digest for digest in digests if (digest, self.size.height) not in self.thumbnails]

    def _load_soon(self) -> None:
        if not self._loading and self.size.area and self._missing():
            self._loading = True
            self.run_worker(self._load(), exit_on_error=False)

    async def _load(self) -> None:
        try:
            while missing := self._missing():
                digest, rows = missing[0], self.size.height
                self.thumbnails[digest, rows] = await asyncio.to_thread(_thumbnail, digest, rows)
                self.refresh()
        finally:
            self._loading = False

    # --- drawing -----------------------------------------------------------------------------------------------------

    @property
    def _first(self) -> int:
        """The first card that there is room for beside the selected one."""
        return max(0, self.selected - max(1, self.size.width // CARD) + 1)

    def render_line(self, y: int) -> Strip:
        line = self._one_line() if self.is_line else self._across(y)
        return Strip(line).adjust_cell_length(self.size.width, self._style("plain"))

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"cards--{name}")

    def _title_style(self, place: int) -> Style:
        return self._style("cursor" if place == self.selected and self.has_focus else "plain")

    def _one_line(self) -> list[Segment]:
        """`v to change cat.png  image 1 fox.png`, from the selected one's neighbour on."""
        found = [Segment(f"{self.app.keys_of('pictures-in')} ", self._style("letter"))]
        for place, card in list(enumerate(self.cards))[max(0, self.selected - 1) :]:
            found += [
                Segment(f"{card.lines[0]} ", self._title_style(place)),
                Segment(f"{fitted(card.lines[1], min(16, len(card.lines[1])))}   ", self._style("muted")),
            ]
        return found

    def _across(self, y: int) -> list[Segment]:
        found: list[Segment] = []
        for place, card in list(enumerate(self.cards))[self._first :]:
            found += self._card_line(place, card, y)
        return found

    def _card_line(self, place: int, card: Card, y: int) -> list[Segment]:
        plain = self._style("plain")
        here = place == self.selected and self.has_focus
        bar = Segment("▌" if here else " ", self._style("cursor"))
        with_picture = self.app.options.graphics != "none"
        picture = self._picture_line(card, y) if with_picture else []
        width = room(CARD, 1, 2, (THUMBNAIL + 1) * with_picture)
        text = fitted(card.lines[y] if y < len(card.lines) else "", width)
        style = self._title_style(place) if y == 0 else plain if y == 1 else self._style("muted")
        return [bar, *picture, Segment(text, style), Segment("  ", plain)]

    def _picture_line(self, card: Card, y: int) -> list[Segment]:
        drawn = self.thumbnails.get((card.item.picture.digest, self.size.height), "·")
        if isinstance(drawn, str):  # in place of a picture
            words = drawn if y == self.size.height // 2 else ""
            return [Segment(words.center(THUMBNAIL) + " ", self._style("muted"))]
        strip = drawn[y] if y < len(drawn) else Strip.blank(0)
        return list(strip.adjust_cell_length(THUMBNAIL + 1, self._style("plain")))


def _thumbnail(digest: str, rows: int) -> list[Strip] | str:
    """The picture in so many rows; a word where it can't be shown."""
    from tui.state.previews import small_attachment

    try:
        image = small_attachment(digest, _SIDE)
    except (Flux2Error, OSError):
        return _GONE
    return half_cells(image, *fit(image.size, (THUMBNAIL, rows), cell_pixels()))


class PicturesInPane(Pane):
    TITLE = "Pictures in"
    HELP = (
        "The pictures that the next one is made of: a prompt calls references image 1, image 2 and so on; one to "
        "change has a strength, a mask, or is extended."
    )
    app: Program

    def __init__(self) -> None:
        self.strip = PictureCards()
        self._shown: object = None
        super().__init__(self.strip, id="pictures-in")

    def show_choices(self, choices: Choices) -> bool:
        """Bring it up to date; whether there is anything to show."""
        items = handed_in(choices)
        session = self.app.session
        depends = (items, choices.reference_pixels, choices.strength, choices.outpaint, choices.source_as_reference)
        key = (*depends, choices.model, choices.level, choices.size, choices.step_count, session.memory_limit)
        if items and key != self._shown:
            from tui.lines.picture_costs import costs_of

            costs = costs_of(choices, session)
            self.strip.show(
                tuple(Card(item, (title(item), str(item.picture), *said.facts(choices, item, costs))) for item in items)
            )
            self.heading.detail = Content.assemble((said.together(choices, costs), "$muted"))
        elif not items:
            self.strip.show(())
        self._shown = key
        return bool(items)
