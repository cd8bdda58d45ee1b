"""Pictures as character cells, and textual-image kept from asking the terminal anything while the screen runs."""

from __future__ import annotations

import io
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.terminal.probe import cell_pixels

if TYPE_CHECKING:
    from PIL import Image

Source = bytes | Path
"""A PNG, or the path of one."""
Rgb = tuple[int, int, int]
SHARP = ("kitty", "sixel")
"""Graphics that a terminal draws itself, by textual-image."""


def quiet_textual_image() -> bool:
    """Make textual-image take the cell size as given and query no terminal when it is imported.

    By itself it writes queries and reads standard input, which belongs to Textual by then.

    Returns:
        Whether it could be done: another version may have other insides, and must not be imported then.
    """
    try:
        from textual_image import _terminal
    except ImportError:
        return False
    size = getattr(_terminal, "get_cell_size", None)
    code = getattr(size, "__code__", None)
    names = ("capture_terminal_response", "CellSize", "TerminalError")
    if code is None or "_result" not in code.co_names + code.co_consts or not all(hasattr(_terminal, n) for n in names):
        return False

    def refuse(*_: Any, **__: Any) -> Any:
        raise _terminal.TerminalError("The terminal is in use.")

    _terminal.capture_terminal_response = refuse
    _terminal.get_cell_size._result = _terminal.CellSize(*cell_pixels())
    return True


def bearable(graphics: str) -> str:
    """These graphics, or half-cells where the installed textual-image can't be kept from asking the terminal."""
    return "halfcell" if graphics in SHARP and not quiet_textual_image() else graphics


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


def in_whole_cells(image: Image.Image, room: tuple[int, int], cell: tuple[int, int]) -> Image.Image:
    """The picture as large as the room of so many cells allows, its sides multiples of the cell's."""
    columns, rows = fit(image.size, room, cell)
    return image.resize((columns * cell[0], rows * cell[1]))


def half_cells(image: Image.Image, columns: int, rows: int, *, shades: int = 256) -> list[Strip]:
    """The picture as half-block characters, two pixels to a cell.

    Args:
        shades: of red, green and blue each. Few make alike what looks alike, so that it need not be made, or sent over
            a line, again.
    """
    from PIL import Image as Pillow

    scaled = image.resize(
        (columns, rows * 2), Pillow.Resampling.BOX if columns < image.width else Pillow.Resampling.BICUBIC
    )
    if shades < 256:
        steps = [round(round(value * (shades - 1) / 255) * 255 / (shades - 1)) for value in range(256)]
        scaled = scaled.point(steps * 3)
    data = scaled.tobytes()
    pixels = list(zip(data[::3], data[1::3], data[2::3], strict=True))
    lines = [pixels[start : start + columns] for start in range(0, len(pixels), columns)]
    return [Strip(_half_cell_line(*pair), columns) for pair in zip(lines[::2], lines[1::2], strict=True)]


def _half_cell_line(upper: list[Rgb], lower: list[Rgb]) -> list[Segment]:
    return [
        Segment("▀" * sum(1 for _ in alike), _half_cell_style(*pair))
        for pair, alike in groupby(zip(upper, lower, strict=True))
    ]


@lru_cache(maxsize=8192)
def _half_cell_style(upper: Rgb, lower: Rgb) -> Style:
    """Kept, for the next preview is much like this one: new ones by the thousand kept the garbage collector busy."""
    return Style(color=_color(upper), bgcolor=_color(lower))


@lru_cache(maxsize=8192)
def _color(rgb: Rgb) -> Color:
    return Color.from_rgb(*rgb)
