"""The user's settings, keys and themes as the screen wears them, taken over again whenever their files change."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.settings import Settings, SettingsError, SettingsFile, read_settings, settings_path, write_setting
from tui.keys.user_keys import user_keys
from tui.state.themes import DEFAULT_THEME, NamedTheme, load_themes, theme_files

if TYPE_CHECKING:
    from tui.state.session import Session
    from tui.terminal.inside_textual import InsideApp

LOOK_EVERY = 2.0
"""Seconds between two looks at the files' times."""


class Preferences:
    def __init__(self, app: InsideApp, session: Session, theme: str, say: Callable[[str, str], None]) -> None:
        """
        Args:
            app: what wears the themes and has the keys.
            session: what of the files is wrong goes into its log.
            theme: that of the command line, which goes before the settings'; "" for none.
            say: tells the user a sentence, of the level that comes first.
        """
        self._app, self._session, self._theme, self._say = app, session, theme, say
        self.themes: dict[str, NamedTheme] = {}
        self._file = SettingsFile()
        self._stamps: dict[Path, int] = {}
        self._complaints: list[str] = []
        self.keys: dict[str, str] = {}
        """Keys of the user's own, by id."""

    @property
    def settings(self) -> Settings:
        return self._file.settings

    def load(self) -> None:
        """Before the first frame."""
        self._stamps = _stamps()
        self._take_settings()
        self._take_themes()
        if self._theme and self._theme not in self._app.available_themes:
            self._complaints.append(self._no_theme(self._theme))
        self._wear(self._theme or self.settings.theme)

    def look(self) -> None:
        """Take over what has changed on the disk since the last look."""
        stamps = _stamps()
        if stamps == self._stamps:
            return
        themes_changed = any(
            stamps.get(path) != self._stamps.get(path) for path in stamps | self._stamps if path != settings_path()
        )
        self._stamps = stamps
        self._app.clear_notifications()  # what they say of the files may be mended
        before = self.settings
        self._take_settings()
        if themes_changed:
            self._take_themes()
        if themes_changed or before.theme != self.settings.theme:
            self._wear(self.settings.theme if before.theme != self.settings.theme else self._app.theme)
        self.tell()

    def tell(self) -> None:
        """What is wrong with the files, each time it is read, in one toast."""
        if self._complaints:
            self._app.notify("\n".join(self._complaints), title="Settings", severity="warning", timeout=15)
            for complaint in self._complaints:
                self._session.say("warning", complaint)
            self._complaints = []

    def set(self, name: str, value: str | int | bool) -> None:
        """Change a setting, on the disk and here. Where the file can't be changed, a theme is worn all the same."""
        try:
            write_setting(name, value)
        except SettingsError as error:
            self._say("error", str(error))
            if name == "theme":
                self._wear(str(value))
        else:
            self.look()

    def _take_settings(self) -> None:
        self._file = read_settings()
        self.keys, complaints = user_keys(self._file)
        self._app.set_keymap(self.keys)
        self._complaints += [*self._file.complaints, *complaints]

    def _take_themes(self) -> None:
        self.themes, complaints = load_themes()
        for named in self.themes.values():
            self._app.register_theme(named.theme)
        self._complaints += complaints

    def _wear(self, name: str) -> None:
        """This theme, or the usual one; one that is worn already is drawn anew, for its file may have changed."""
        known = self._app.available_themes
        if name and name not in known and name != self._theme:
            line = self._file.lines.get("theme", 1)
            self._complaints.append(f"{settings_path().name} line {line}: {self._no_theme(name)}")
        self._app.wear_anew(name if name in known else DEFAULT_THEME)

    def _no_theme(self, name: str) -> str:
        near = get_close_matches(name, self.themes, 1)
        return f"There is no theme {name!r}; " + (
            f"did you mean {near[0]}?" if near else f"there are {', '.join(self.themes)}."
        )


def _stamps() -> dict[Path, int]:
    """The files' times of change."""
    stamps = {}
    for path in (settings_path(), *theme_files()):
        try:
            stamps[path] = path.stat().st_mtime_ns
        except OSError:
            continue
    return stamps
