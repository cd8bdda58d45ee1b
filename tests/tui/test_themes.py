"""Theme files: ours are readable, a user's faults are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.color import Color

from flux2.paths import config_dir
from tui.state.themes import DEFAULT_THEME, NamedTheme, ThemeError, load_themes, read_theme

THEMES, COMPLAINTS = load_themes()
COLOURED = [name for name, named in THEMES.items() if not named.theme.ansi]

SMALL = """
title = "Small"
[colors]
background = "#000000"
foreground = "#ffffff"
accent = "#00ff00"
"""


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.1."""
    channels = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4
                for value in Color.parse(color).normalized]  # fmt: skip
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_there_are_dark_and_light_ones_and_none_is_broken() -> None:
    assert COMPLAINTS == []
    assert DEFAULT_THEME in THEMES
    assert {named.theme.dark for named in THEMES.values()} == {True, False}
    assert len(THEMES) >= 8
    assert sum("every kind of colour vision" in named.about for named in THEMES.values()) >= 2
    assert THEMES["ansi"].about == "the terminal's own colours"


@pytest.mark.parametrize("name", COLOURED)
def test_text_can_be_read(name: str) -> None:
    theme = THEMES[name].theme
    background = str(theme.background)
    assert contrast(str(theme.foreground), background) >= 7
    assert contrast(theme.variables["muted"], background) >= 4.5
    for color in (theme.accent, theme.success, theme.warning, theme.error):
        assert contrast(str(color), background) >= 4.5, color


@pytest.mark.parametrize("name", COLOURED)
def test_the_series_of_the_graph_stand_out(name: str) -> None:
    variables, background = THEMES[name].theme.variables, str(THEMES[name].theme.background)
    for series, least in (("graph-active", 2.5), ("graph-peak", 4.5), ("graph-limit", 4.5)):
        assert contrast(variables[series], background) >= least, series


def test_the_high_contrast_theme_is_that() -> None:
    theme = THEMES["contrast"].theme
    assert contrast(str(theme.foreground), str(theme.background)) == pytest.approx(21)
    assert contrast(theme.variables["muted"], str(theme.background)) >= 7


def write_theme(text: str, name: str = "mine") -> Path:
    folder = config_dir() / "themes"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_three_colours_are_enough() -> None:
    named = read_theme(write_theme(SMALL))
    assert isinstance(named, NamedTheme)
    assert (named.title, named.theme.name) == ("Small", "mine")
    assert named.theme.variables["graph-active"] == "#00ff00"


def test_a_users_theme_joins_ours_and_may_replace_one() -> None:
    write_theme(SMALL, "midnight")
    write_theme(SMALL, "mine")
    themes, complaints = load_themes()
    assert complaints == []
    assert themes["midnight"].title == "Small"
    assert "mine" in themes
    assert "paper" in themes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title = oops\ndark = true", r"mine.toml: .*line 1"),
        (SMALL + 'muted = "grau"', r"mine.toml: colors.muted = 'grau' is not a colour"),
        (SMALL + 'mutt = "#123456"', r"mine.toml: colors.mutt is not known"),
        (SMALL.replace("accent", "muted"), r"mine.toml: colors.accent is missing"),
        ("colours = 1\n" + SMALL, r"mine.toml: 'colours' is not known"),
        ("graph = 3\n" + SMALL, r"mine.toml: 'graph' must be a table"),
    ],
)
def test_a_fault_is_told_by_file_and_place(text: str, said: str) -> None:
    path = write_theme(text)
    with pytest.raises(ThemeError, match=said):
        read_theme(path)
    themes, complaints = load_themes()
    assert len(complaints) == 1
    assert "mine" not in themes


COLOUR_BLIND_SAFE = ("contrast", "daylight", "harbor")
_DEFICIENCIES = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB."""


def seen_with(deficiency: str, color: str) -> tuple[float, ...]:
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
              for channel in Color.parse(color).normalized]  # fmt: skip
    rows = _DEFICIENCIES[deficiency]
    return tuple(sum(weight * value for weight, value in zip(row, linear, strict=True)) for row in rows)


@pytest.mark.parametrize("deficiency", _DEFICIENCIES)
@pytest.mark.parametrize("name", COLOUR_BLIND_SAFE)
def test_every_kind_of_colour_vision_tells_the_series_apart(name: str, deficiency: str) -> None:
    variables = THEMES[name].theme.variables
    series = [seen_with(deficiency, variables[f"graph-{part}"]) for part in ("active", "peak", "limit")]
    for place, one in enumerate(series):
        for other in series[place + 1 :]:
            assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.1
