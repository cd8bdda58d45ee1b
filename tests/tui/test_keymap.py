"""The key map's table."""

from __future__ import annotations

import pytest

from tui.keys.bindings import bindings
from tui.keys.keymap import (
    BROWSER_KEYS,
    COMPARE_KEYS,
    GALLERY_KEYS,
    KEYS,
    MASK_KEYS,
    MODELS_KEYS,
    PICTURES_IN_KEYS,
    PROMPT_KEYS,
    QUEUE_KEYS,
    SETTINGS_KEYS,
    VIEWER_KEYS,
    Key,
)
from tui.screens.compare import CompareScreen
from tui.screens.dashboard import Dashboard
from tui.screens.gallery import GalleryScreen
from tui.screens.mask_editor import MaskEditor
from tui.screens.models import ModelsScreen
from tui.screens.viewer import Viewer
from tui.widgets.picture_browser import PictureBrowser
from tui.widgets.pictures_in_pane import PictureCards
from tui.widgets.prompt_pane import PromptEditor
from tui.widgets.queue_pane import QueueList

ALL = (
    *KEYS,
    *PROMPT_KEYS,
    *SETTINGS_KEYS,
    *QUEUE_KEYS,
    *GALLERY_KEYS,
    *BROWSER_KEYS,
    *VIEWER_KEYS,
    *COMPARE_KEYS,
    *MODELS_KEYS,
    *MASK_KEYS,
    *PICTURES_IN_KEYS,
)
CONFUSED = {"ctrl+m", "ctrl+i", "ctrl+h", "ctrl+left_square_bracket", "ctrl+a", "ctrl+b", "ctrl+s"}
"""Enter, tab, backspace and escape by other names; the prefixes of screen and tmux; and the terminal's own stop."""


def test_ids_are_unique() -> None:
    keys = set(ALL)  # some serve several screens
    assert len({key.id for key in keys}) == len(keys)


@pytest.mark.parametrize("table", [KEYS, GALLERY_KEYS, VIEWER_KEYS, COMPARE_KEYS, MODELS_KEYS, MASK_KEYS])
def test_no_key_means_two_things(table: tuple[Key, ...]) -> None:
    keys = [name for key in table for name in key.keys.split(",")]
    assert len(set(keys)) == len(keys)


def test_no_key_that_a_plain_terminal_cannot_send() -> None:
    for key in ALL:
        for name in key.keys.split(","):
            assert name not in CONFUSED
            assert "shift+" not in name
            assert name == name.lower()


@pytest.mark.parametrize(
    ("keys", "owner"),
    [
        (KEYS, Dashboard),
        (PROMPT_KEYS, PromptEditor),
        (QUEUE_KEYS, QueueList),
        (GALLERY_KEYS, GalleryScreen),
        (BROWSER_KEYS, PictureBrowser),
        (VIEWER_KEYS, Viewer),
        (COMPARE_KEYS, CompareScreen),
        (MODELS_KEYS, ModelsScreen),
        (MASK_KEYS, MaskEditor),
        (PICTURES_IN_KEYS, PictureCards),
    ],
)
def test_every_action_is_there(keys: tuple, owner: type) -> None:  # type: ignore[type-arg]
    for key in keys:
        name = key.action.split("(")[0]
        assert not name or name.startswith("app.") or hasattr(owner, f"action_{name}"), key


def test_every_key_is_explained() -> None:
    assert all(key.help and key.group for key in ALL)
    assert len(bindings(KEYS)) == len(KEYS)
