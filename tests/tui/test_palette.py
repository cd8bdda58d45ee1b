"""Colours on terminals of 256."""

from __future__ import annotations

from itertools import product

import pytest
from rich.color import Color, ColorSystem
from rich.color_triplet import ColorTriplet
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as TextualColor

from tests.tui.replay import ReplayBackend
from tests.tui.screen import make_app
from tui.state.themes import load_themes
from tui.terminal.palette import Palette256, nearest

EVERY = {number: Color.from_ansi(number).get_truecolor() for number in range(16, 256)}


def distance(one: ColorTriplet, other: ColorTriplet) -> int:
    return sum(weight * (a - b) ** 2 for weight, a, b in zip((2, 4, 3), one, other, strict=True))


def test_the_palettes_own_colours_stay() -> None:
    for colour in EVERY.values():
        assert EVERY[nearest(*colour)] == colour


def test_no_other_colour_is_much_nearer() -> None:
    for channels in product(range(0, 256, 15), repeat=3):
        wanted = ColorTriplet(*channels)
        best = min(distance(wanted, colour) for colour in EVERY.values())
        assert distance(wanted, EVERY[nearest(*wanted)]) <= best + 300


@pytest.mark.parametrize("name", [name for name, named in load_themes()[0].items() if not named.theme.ansi])
def test_the_surfaces_of_a_theme_are_nearer_than_richs(name: str) -> None:
    theme = load_themes()[0][name].theme
    for colour in (theme.background, theme.surface, theme.panel):
        assert colour
        wanted = Color.parse(colour)
        rounded = wanted.downgrade(ColorSystem.EIGHT_BIT).get_truecolor()
        triplet = wanted.get_truecolor()
        assert distance(triplet, EVERY[nearest(*triplet)]) <= distance(triplet, rounded)


def test_a_dark_surface_is_a_dark_grey() -> None:
    assert [nearest(*Color.parse(colour).get_truecolor()) for colour in ("#10141b", "#1b2030")] == [233, 235]


def test_text_keeps_its_attributes_and_what_has_no_colour_stays() -> None:
    bold = Style(bold=True, color="#1b2030", bgcolor="#000000")
    shown = Palette256().apply([Segment("a", bold), Segment("b", Style(dim=True)), Segment("c")], TextualColor(0, 0, 0))
    first = shown[0].style
    assert first is not None and first.bold and first.color == Color.from_ansi(235)
    assert shown[1:] == [Segment("b", Style(dim=True)), Segment("c")]


@pytest.mark.parametrize(("colours", "used"), [("256", True), ("truecolor", False), ("standard", False)])
def test_it_is_used_on_a_terminal_of_256(colours: str, used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", colours)
    app = make_app(ReplayBackend())
    assert any(isinstance(filter, Palette256) for filter in app.get_line_filters()) == used
