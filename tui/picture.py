"""Pictures as character cells, and textual-image kept from asking the terminal anything while the screen runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.segment import Segment
from textual.strip import Strip

from tui.terminal import cell_pixels

if TYPE_CHECKING:
    from PIL import Image

Source = bytes | Path
"""A PNG, or the path of one."""


def quiet_textual_image() -> None:
    """Make textual-image take the cell size as given and query no terminal when it is imported.

    By itself it writes queries and reads standard input, which belongs to Textual by then.
    """
    from textual_image import _terminal

    if getattr(_terminal, "_quiet", False):
        return

    def refuse(*_: Any, **__: Any) -> Any:
        raise _terminal.TerminalError("The terminal is in use.")

    _terminal.capture_terminal_response = refuse
    _terminal.get_cell_size._result = _terminal.CellSize(*cell_pixels())
    _terminal._quiet = True


def open_picture(source: Source) -> Image.Image:
    """Decode the picture.

    Raises:
        OSError: if the file is gone or no picture.
    """
    from PIL import Image

    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        return image.convert("RGB")


def fit(picture: tuple[int, int], room: tuple[int, int], cell: tuple[int, int]) -> tuple[int, int]:
    """Cells (columns, rows) that a picture of these pixels fills, as large as the room allows, proportions kept."""
    width, height = picture[0] / cell[0], picture[1] / cell[1]
    scale = min(room[0] / width, room[1] / height)
    return max(1, min(room[0], round(width * scale))), max(1, min(room[1], round(height * scale)))


def half_cells(image: Image.Image, columns: int, rows: int) -> list[Strip]:
    """The picture as half-block characters, two pixels to a cell."""
    from PIL import Image as Pillow
    from rich.console import Console

    quiet_textual_image()
    from textual_image.renderable import HalfcellImage

    scaled = image.resize(
        (columns, rows * 2), Pillow.Resampling.BOX if columns < image.width else Pillow.Resampling.BICUBIC
    )
    console = Console(file=io.StringIO(), width=columns, color_system="truecolor")
    options = console.options.update(width=columns, height=rows)
    lines = Segment.split_lines(HalfcellImage(scaled, width=columns, height=rows).__rich_console__(console, options))
    return [Strip(line, columns).simplify() for line in lines][:rows]
