"""What the list of models says of each: a line, and a paragraph on the one under the cursor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content

from flux2.events import DownloadProgress
from flux2.folders import models_dir_variable
from flux2.humanize import clock, either, gigabytes, parameters, printable
from tui.terminal.glyphs import Glyphs

if TYPE_CHECKING:
    from flux2.store.inventory import ModelEntry

TITLE_WIDTH = 22
_BAR_WIDTH = 30
Piece = tuple[str, str]
"""Text and its style."""


def line(entry: ModelEntry, download: DownloadProgress | None, *, chosen: bool, width: int) -> Content:
    """One model in a row; the licence where there is room for it."""
    about = "" if entry.here or entry.state == "embedded" else "~"
    pieces: list[Piece] = [
        ("> " if chosen else "  ", "$accent"),
        (f"{entry.title:<{TITLE_WIDTH}.{TITLE_WIDTH}} ", "bold" if chosen else ""),
        (f"{about + gigabytes(entry.size):>6} GB  ", "$muted"),
    ]
    if width >= 100:
        pieces.append((f"{entry.licence + (', gated' if entry.gated else ''):<38}", "$muted"))
    else:
        pieces.append((f"{'gated' if entry.gated else '':<7}", "$warning"))
    return Content.assemble(*pieces, state(entry, download))


def state(entry: ModelEntry, download: DownloadProgress | None) -> Piece:
    """How much of it is here, or how its download goes."""
    if download and download.going_on:
        if download.state != "downloading":
            return f"{_share(download)}{download.state}", "$accent"
        return _share(download) + pace(download), "$accent"
    if download and download.state == "paused":
        return f"{_share(download)}paused", "$warning"
    match entry.state:
        case "embedded":
            return "in the program", "$success"
        case "ready" | "file":
            return "here", "$success"
        case "partly":
            failed = ", failed" if download and download.state == "failed" else ""
            return f"{_percent(entry.here, entry.size)} here{failed}", "$warning"
        case _:
            return ("failed", "$error") if download and download.state == "failed" else ("not here", "$muted")


def pace(download: DownloadProgress) -> str:
    """`23.1 MB/s  8:41 left`, as far as it is known."""
    left = download.seconds_left
    rate = f"{download.bytes_per_second / 1e6:.1f} MB/s" if download.bytes_per_second else ""
    return rate + (f"  {clock(left)} left" if left is not None else "")


def _share(download: DownloadProgress) -> str:
    return f"{_percent(download.done, download.total)}  " if download.total else ""


def _percent(done: int, total: int) -> str:
    """Never 100 before all is there."""
    return f"{min(99, 100 * done // total) if done < total else 100} %" if total else "0 %"


def details(entry: ModelEntry, download: DownloadProgress | None, free: int, glyphs: Glyphs) -> Content:
    """What it is, and what can or must be done next."""
    gated = ", gated" if entry.gated else ""
    facts = f"  {parameters(entry.parameters)} parameters, {entry.licence}{gated}"
    lines = [Content.assemble((entry.title, "bold"), (facts, "$muted"))]
    if entry.repo:
        lines.append(Content.styled(f"https://huggingface.co/{entry.repo}", "$muted"))
    lines += [Content.assemble(*pieces) for pieces in _next(entry, download, free, glyphs)]
    return Content("\n").join(lines)


def _next(entry: ModelEntry, download: DownloadProgress | None, free: int, glyphs: Glyphs) -> Iterator[list[Piece]]:
    if download and (download.going_on or download.state == "paused"):
        yield _bar(download, glyphs)
        if download.message:
            yield [(printable(download.message), "$warning")]
        return
    if entry.state == "embedded":
        yield [("It comes with this program: nothing to download.", "$muted")]
        return
    if entry.state == "file":
        of = either(entry.bases) if entry.bases else "no model that is known here"
        yield [(f"{gigabytes(entry.size)} GB, of {of}, in {printable(entry.folder)}", "$muted")]
        return
    if entry.state == "ready":
        prepared = f", {' and '.join(entry.prepared)} prepared" if entry.prepared else ""
        yield [(f"{gigabytes(entry.size)} GB{prepared}, in {printable(entry.folder)}", "$muted")]
        return
    if download and download.state == "failed":
        yield [(printable(download.message), "$error")]
    elif entry.gated:
        yield [
            ("Accept its licence on that page with a Hugging Face account, and log in on this machine with ", ""),
            ("hf auth login", "$accent"),
            ("; then ", ""),
            ("d", "$accent"),
            (" downloads it.", ""),
        ]
    missing = entry.size - entry.here
    if missing > free:
        words = f"It needs {gigabytes(missing)} GB more and {gigabytes(free)} GB are free: make room "
        yield [(f"{words}(del removes a model), or let {models_dir_variable()} name another disk.", "$error")]
    elif entry.state == "partly":
        here, size = gigabytes(entry.here), gigabytes(entry.size)
        yield [(f"{here} of {size} GB are here; ", ""), ("d", "$accent"), (" goes on where it stopped.", "")]
    elif not entry.gated:
        yield [("d", "$accent"), (f" downloads it, as would a picture: about {gigabytes(entry.size)} GB.", "")]


def _bar(download: DownloadProgress, glyphs: Glyphs) -> list[Piece]:
    full = _BAR_WIDTH * download.done // download.total if download.total else 0
    words = f"  {gigabytes(download.done)} of {gigabytes(download.total)} GB  " if download.total else "  "
    return [
        (glyphs.bar_full * full, "$accent"),
        (glyphs.bar_empty * (_BAR_WIDTH - full), "$rule"),
        (words + (download.state if download.state != "downloading" else pace(download)), ""),
    ]
