"""ctrl+l paints every cell anew, wherever it is pressed: another program may have written over any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual._compositor import LayoutUpdate
from textual.screen import Screen

from tests.tui.replay import ReplayBackend
from tests.tui.screen import SIZE, running, settled
from tui.app import Flux2App


@pytest.mark.parametrize(
    ("keys", "screen"),
    [
        ([], "Dashboard"),
        (["escape", "3"], "GalleryScreen"),
        (["escape", "5"], "ModelsScreen"),
        (["escape", "m"], "Menu"),
        (["escape", "s"], "SamplingDialog"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_redraw(keys: list[str], screen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_OUTPUT", str(tmp_path))
    painted: list[object] = []

    def spy(_: Flux2App, __: Screen[Any], renderable: object) -> None:
        painted.append(renderable)

    async with running(ReplayBackend(), remote=True) as (app, pilot):
        await pilot.press(*keys)
        await settled(pilot)
        assert type(app.screen).__name__ == screen
        assert app.shown is not None
        app.shown.row(3)[5] = ("x", app.screen.rich_style)
        monkeypatch.setattr(Flux2App, "_display", spy)
        await pilot.press("ctrl+l")
        await settled(pilot)
        assert app.shown.row(3) == {}
        whole = [update for update in painted if isinstance(update, LayoutUpdate)]
        assert whole
        assert whole[-1].region.size == SIZE
