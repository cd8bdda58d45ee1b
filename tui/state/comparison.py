"""Pictures beside each other: which are there, which are still to come, and how they differ from the first.

Knows nothing of Textual. A comparison is found again from the pictures themselves: nothing of it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flux2 import progress
from flux2.folders import pictures_dir
from flux2.humanize import clock, gigabytes, seconds
from flux2.pictures.gallery import Picture
from flux2.pictures.images import default_path, save_png
from flux2.pictures.quantization_set import find, quantization_set
from flux2.pictures.sheet import Column, draw
from flux2.pictures.strength_set import strength_set
from flux2.request import GenerationRequest
from flux2.request_fields import decisive
from tui.state.handing_in import HandedIn, handed_in, title
from tui.state.previews import on_canvas, small_attachment

if TYPE_CHECKING:
    from PIL import Image

    from flux2.pictures.image_metadata import ImageMetadata
    from flux2.pictures.similarity import Similarity
    from tui.state.session import Session

MISSING, ASKED = "missing", "asked"


@dataclass(slots=True)
class Entry:
    """One of the pictures compared, or its place."""

    label: str
    request: GenerationRequest | None
    """What makes it; None for a picture of others."""
    picture: Picture | None = None
    pixels: Image.Image | None = None
    metadata: ImageMetadata | None = None
    likeness: Similarity | None = None
    """To the reference."""
    run: str = ""
    """The run that was asked to make it."""
    state: str = MISSING
    """In words, while there is no picture."""
    read: Callable[[], Image.Image] | None = None
    """Reads the pixels of what is none of our pictures; raises Flux2Error if it can't."""

    @property
    def is_missing(self) -> bool:
        """Whether nobody has it and nobody makes it."""
        return self.picture is None and not self.run

    def figures(self) -> list[str]:
        """A line for each thing known: memory, time, likeness."""
        lines: list[str] = []
        if self.metadata is not None and self.metadata.peaks:
            weights = self.metadata.active.get("denoise")
            lines.append(f"active {gigabytes(weights)} GB" if weights is not None else "active not recorded")
            lines.append(f"peak {gigabytes(max(self.metadata.peaks.values()))} GB")
        if self.metadata is not None and self.metadata.timings:
            lines.append(f"time {seconds(sum(self.metadata.timings.values()))}")
        if self.likeness is not None:
            lines += self.likeness.lines()
        return lines


@dataclass(slots=True)
class Comparison:
    entries: list[Entry]
    """The first is the reference."""
    title: str = ""

    @classmethod
    def of_quantizations(cls, request: GenerationRequest) -> Comparison:
        """Comparison of one picture at every quantization, as far as `find` knows it; bf16 is the reference."""
        entries = [Entry(asked.quantization, asked) for asked in quantization_set(request)]
        return cls(entries, f"{request.model}, seed {request.seed}: {request.prompt}")

    @classmethod
    def of_strengths(cls, request: GenerationRequest) -> Comparison:
        """Comparison of one picture with its LoRAs at several strengths; the one without them is the reference."""
        entries = [Entry(word, asked) for word, asked in strength_set(request).items()]
        return cls(entries, f"{', '.join(map(str, request.loras))}, seed {request.seed}: {request.prompt}")

    @classmethod
    def of_pictures(cls, pictures: Sequence[Picture]) -> Comparison:
        """Any pictures, the first as the reference."""
        entries = [Entry(_label(picture), picture.request, picture) for picture in pictures]
        return cls(entries, f"{len(pictures)} pictures")

    @classmethod
    def of_edit(cls, picture: Picture, request: GenerationRequest) -> Comparison:
        """Comparison of what a picture was made of with the picture itself: its source first, else its references."""
        before = [
            Entry(f"{title(item)}: {item.picture}", None, state="reading it", read=_reader(picture, request, item))
            for item in handed_in(request)
            if item.role != "mask"
        ]
        after = Entry("after", request, picture)
        return cls([before[0], after, *before[1:]], f"{picture.path.name}: {request.prompt}")

    @property
    def reference(self) -> Entry:
        return self.entries[0]

    def find(self, pictures: Sequence[Picture]) -> list[Entry]:
        """Look for what is missing among these pictures, newest first; those that were found now."""
        found = []
        for entry in self.entries:
            if entry.picture is None and entry.request is not None:
                entry.picture = find(entry.request, pictures)
                if entry.picture is not None:
                    found.append(entry)
        return found

    def follow(self, session: Session) -> None:
        """Take over what the worker does for the places that are still empty."""
        for entry in self.entries:
            if entry.picture is None and entry.request is not None:
                _follow(entry, entry.request, session)


def _reader(picture: Picture, request: GenerationRequest, item: HandedIn) -> Callable[[], Image.Image]:
    """Reads what was handed in; a source where it lies on the picture, so that both can be laid over each other."""
    size = picture.width, picture.height

    def read() -> Image.Image:
        image = small_attachment(item.picture.digest, max(size))
        return on_canvas(image, (item.picture.width, item.picture.height), request.outpaint, size)

    def read_reference() -> Image.Image:
        return small_attachment(item.picture.digest, max(size))

    return read if item.role == "source" else read_reference


def _follow(entry: Entry, request: GenerationRequest, session: Session) -> None:
    wanted = decisive(request)
    item = next((item for item in session.queue if item.id == entry.run or _asks_for(item.request, wanted)), None)
    run = session.run
    if item is not None:
        entry.run = item.id
        entry.state = "queued"
        if item.running and run is not None and run.run == item.id:
            eta = run.eta(session.now)
            step = f" {run.step} of {run.steps}" if run.phase == "denoise" and run.step else ""
            entry.state = f"{run.phase or 'running'}{step}"
            entry.state += f", {clock(eta)} left" if eta is not None else ""
    elif entry.run and run is not None and run.run == entry.run and run.state == progress.FINISHED:
        entry.state = "reading it"
    elif entry.run and run is not None and run.run == entry.run and run.state != progress.RUNNING:
        entry.run, entry.state = "", run.error or run.state
    elif entry.run and entry.state != ASKED:  # taken out of the queue, or long over
        entry.run, entry.state = "", MISSING


def _asks_for(request: dict[str, object], wanted: dict[str, Any]) -> bool:
    """Whether an item of the queue makes this picture. What it leaves to the model is not known here, so not equal."""
    try:
        return decisive(GenerationRequest.from_dict(request)) == wanted
    except ValueError:
        return False


def _label(picture: Picture) -> str:
    request = picture.request
    return f"{request.quantization} {request.seed}" if request else picture.path.name


def save_sheet(comparison: Comparison) -> Path:
    """Save what is there as one PNG among the pictures; where it is.

    Raises:
        Flux2Error: if it can't be written.
    """
    columns = [
        Column(entry.label, tuple(entry.figures()), entry.pixels)
        for entry in comparison.entries
        if entry.pixels is not None
    ]
    request = comparison.reference.request
    name = default_path(pictures_dir(), request, request.seed or 0).name if request else "pictures.png"
    sheet = draw(" ".join(comparison.title.split()), {"": columns})
    return save_png(sheet, pictures_dir() / f"compare-{name}", None)
