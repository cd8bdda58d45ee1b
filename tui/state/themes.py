"""Themes from TOML files: the program's own in `themes/`, the user's in their configuration folder.

    title = "Midnight"
    about = "dark"
    dark = true

    [colors]
    background = "#11151c"
    …

Every colour is optional but background, foreground and accent; the rest follow from these.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

import themes
from flux2.paths import config_dir

DEFAULT_THEME = "midnight"
REQUIRED = ("background", "foreground", "accent")
COLORS = (*REQUIRED, "surface", "panel", "muted", "rule", "success", "warning", "error")
GRAPH_COLORS = ("active", "peak", "plan", "limit", "mark", "grid")
_TABLES = {"colors": COLORS, "graph": GRAPH_COLORS}
_FLAGS = ("title", "about", "dark", "ansi")


class ThemeError(ValueError):
    """A theme file can't be used; says which and why."""


@dataclass(frozen=True, slots=True)
class NamedTheme:
    title: str
    about: str
    """A few words for people."""
    theme: Theme


def load_themes() -> tuple[dict[str, NamedTheme], list[str]]:
    """All themes by name (a user's file replaces one of ours of the same name), and a sentence per file that failed."""
    found: dict[str, NamedTheme] = {}
    complaints: list[str] = []
    for path in theme_files():
        try:
            found[path.stem] = read_theme(path)
        except ThemeError as error:
            complaints.append(str(error))
    dark_first = sorted(found.items(), key=lambda item: (item[1].theme.ansi, not item[1].theme.dark, item[1].title))
    return dict(dark_first), complaints


def theme_files() -> Iterable[Path]:
    for folder in (Path(themes.__file__).parent, config_dir() / "themes"):
        yield from sorted(folder.glob("*.toml"))


def read_theme(path: Path) -> NamedTheme:
    """One theme file.

    Raises:
        ThemeError: naming the file, and the line or the value that is wrong.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ThemeError(f"{path.name}: {error}") from error
    colors, graph = _checked(path.name, data)
    accent, alarm = colors["accent"], colors.get("error", "#d0605e")
    muted, rule = colors.get("muted", colors["foreground"]), colors.get("rule", colors["foreground"])
    surface = colors.get("surface", colors["background"])
    panel = colors.get("panel", surface)
    on_accent = "ansi_black" if data.get("ansi") else colors["background"]
    variables = {
        "muted": muted,
        "rule": rule,
        "graph-active": graph.get("active", accent),
        "graph-peak": graph.get("peak", colors.get("warning", accent)),
        "graph-plan": graph.get("plan", colors["foreground"]),
        "graph-limit": graph.get("limit", alarm),
        "graph-mark": graph.get("mark", muted),
        "graph-grid": graph.get("grid", rule),
        # Textual's own parts, so that menus, fields and scrollbars speak the same language as the panes.
        "ansi-background": colors["background"],
        "block-cursor-background": accent,
        "block-cursor-foreground": on_accent,
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": panel,
        "block-cursor-blurred-foreground": colors["foreground"],
        "input-cursor-background": accent,
        "input-cursor-foreground": on_accent,
        "input-cursor-text-style": "none",
        "border": accent,
        "border-blurred": rule,
        "scrollbar": rule,
        "scrollbar-hover": muted,
        "scrollbar-active": accent,
        "scrollbar-background": colors["background"],
        "scrollbar-background-hover": colors["background"],
        "scrollbar-background-active": colors["background"],
        "scrollbar-corner-color": colors["background"],
    }
    theme = Theme(
        name=path.stem,
        dark=bool(data.get("dark", True)),
        ansi=bool(data.get("ansi", False)),
        primary=accent,
        secondary=muted,
        accent=accent,
        background=colors["background"],
        foreground=colors["foreground"],
        surface=surface,
        panel=panel,
        success=colors.get("success", accent),
        warning=colors.get("warning", accent),
        error=alarm,
        variables=variables,
    )
    about = str(data.get("about", "dark" if theme.dark else "light"))
    return NamedTheme(str(data.get("title", path.stem)), about, theme)


def _checked(file: str, data: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The colour tables, every name known and every value a colour."""
    for name in data:
        if name not in _TABLES and name not in _FLAGS:
            raise ThemeError(f"{file}: {name!r} is not known; use {', '.join((*_FLAGS, *_TABLES))}.")
    tables: dict[str, dict[str, str]] = {}
    for table, names in _TABLES.items():
        values = data.get(table, {})
        if not isinstance(values, dict):
            raise ThemeError(f"{file}: {table!r} must be a table, [{table}].")
        for name, value in values.items():
            if name not in names:
                raise ThemeError(f"{file}: {table}.{name} is not known; use {', '.join(names)}.")
            try:
                Color.parse(str(value))
            except ColorParseError as error:
                raise ThemeError(f"{file}: {table}.{name} = {value!r} is not a colour; write #rrggbb.") from error
        tables[table] = {name: str(value) for name, value in values.items()}
    for name in REQUIRED:
        if name not in tables["colors"]:
            raise ThemeError(f"{file}: colors.{name} is missing.")
    return tables["colors"], tables["graph"]


def variable_defaults(theme: Theme) -> dict[str, str]:
    """Our own variables for a theme made without them (Textual's built-in ones)."""
    foreground, accent = theme.foreground or theme.primary, theme.accent or theme.primary
    muted = theme.secondary or foreground
    return {
        "muted": muted,
        "rule": theme.panel or muted,
        "graph-active": theme.primary,
        "graph-peak": theme.warning or accent,
        "graph-plan": foreground,
        "graph-limit": theme.error or accent,
        "graph-mark": muted,
        "graph-grid": theme.panel or muted,
    }
