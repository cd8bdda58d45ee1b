"""The files with the weights of one part of a checkpoint, chosen by the names that are there.

The same weights come in several forms: one file or numbered shards, with an index of them or without, and each of these
again as a variant of another type of number. diffusers and transformers name them so:

    STEM.safetensors                         STEM.fp16.safetensors
    STEM-00001-of-00002.safetensors          STEM.fp16-00001-of-00002.safetensors, STEM-00001-of-00002.fp16.safetensors
    STEM.safetensors.index.json              STEM.safetensors.index.fp16.json, STEM.fp16.safetensors.index.json

The same choice is made for a folder and for the list of a Hub repository's files: what is fetched is what is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.remedies import fetch_again
from flux2.errors import CheckpointError

READ_VARIANTS = ("", "bf16", "fp16", "fp32")
"""Those that are read, in order of preference; "" is what carries no variant's name."""


@dataclass(slots=True)
class WeightForm:
    """One form in which the weights are there, wholly or not."""

    variant: str = ""
    index: str = ""
    """Name of the index of its shards; "" where it has none."""
    single: str = ""
    """Name of the one file; "" where it has shards."""
    shards: dict[int, str] = field(default_factory=dict)
    """Names of numbered shards."""
    count: int = 0
    """How many shards there have to be, as their names say."""

    @property
    def files(self) -> list[str]:
        """Names of its files of weights."""
        return [self.single] if self.single else [self.shards[number] for number in sorted(self.shards)]

    @property
    def is_complete(self) -> bool:
        """Whether all files are there that their names speak of."""
        return bool(self.single) or (self.count > 0 and len(self.shards) == self.count)


@dataclass(frozen=True, slots=True)
class Weights:
    """The files of the form that is read."""

    files: tuple[Path, ...]
    placed: dict[str, str] = field(default_factory=dict)
    """The file's name of each tensor, as an index has it; empty where there is none."""


def weight_forms(names: Iterable[str], stem: str) -> list[WeightForm]:
    """All forms of the weights among the names of a folder's files; of one variant shards with an index go first."""
    with_index: dict[str, WeightForm] = {}
    alone: dict[str, WeightForm] = {}
    numbered: dict[tuple[str, int], WeightForm] = {}
    for name in sorted(names):
        if found := _pattern(_INDEX, stem).fullmatch(name):
            variant = found["before"] or found["after"] or ""
            with_index[variant] = WeightForm(variant, index=name)
        elif found := _pattern(_FILE, stem).fullmatch(name):
            variant = found["before"] or found["after"] or ""
            if found["number"] is None:
                alone[variant] = WeightForm(variant, single=name)
            else:
                count = int(found["count"])
                form = numbered.setdefault((variant, count), WeightForm(variant, count=count))
                form.shards[int(found["number"])] = name
    for (variant, _), form in numbered.items():
        if variant in with_index and len(form.shards) > len(with_index[variant].shards):
            with_index[variant].shards, with_index[variant].count = form.shards, form.count
    every = [*with_index.values(), *alone.values(), *numbered.values()]
    order = {variant: place for place, variant in enumerate(READ_VARIANTS)}
    return sorted(every, key=lambda form: order.get(form.variant, len(order)))


def readable_form(names: Iterable[str], stem: str) -> WeightForm | None:
    """The form that is read of these, or fetched, as far as names tell; None where no form that is read is complete."""
    forms = [form for form in weight_forms(names, stem) if form.variant in READ_VARIANTS]
    return next((form for form in forms if form.is_complete), None)


def find_weights(folder: Path, stem: str) -> Weights | None:
    """The weights of a part, of whichever form is complete in its folder; None where none is.

    Raises:
        CheckpointError: if the index of the form that goes first is damaged, or the folder can't be read.
    """
    names = file_names(folder)
    for form in weight_forms(names, stem):
        if form.variant not in READ_VARIANTS:
            continue
        if form.index:
            placed = read_placing(folder / form.index)
            if set(placed.values()) <= names:
                return Weights(tuple(folder / name for name in sorted(set(placed.values()))), placed)
        elif form.is_complete:
            return Weights(tuple(folder / name for name in form.files))
    return None


def missing_weights(folder: Path, stem: str) -> Path | None:
    """The first file that the weights of a part would have and that is not here; None where a form is complete.

    Raises:
        CheckpointError: if an index is damaged.
    """
    if find_weights(folder, stem):
        return None
    names = file_names(folder)
    for form in weight_forms(names, stem):
        if form.index and form.variant in READ_VARIANTS:
            placed = read_placing(folder / form.index)
            return folder / min(set(placed.values()) - names)
    return folder / f"{stem}.safetensors"


def read_placing(index: Path) -> dict[str, str]:
    """The name of each tensor's shard, as an index has it.

    Raises:
        CheckpointError: if it is damaged, or names files elsewhere.
    """
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise CheckpointError(f"{index} has no weight_map; {fetch_again(index)}.")
    for shard in shards.values():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise CheckpointError(f"{index} points outside its folder, to {shard!r}; {fetch_again(index)}.")
    return shards


def file_names(folder: Path) -> set[str]:
    """Names of what is in a folder; links to nothing don't count. Empty where there is no such folder.

    Raises:
        CheckpointError: if it can't be read.
    """
    try:
        return {path.name for path in folder.iterdir() if path.exists()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise CheckpointError(f"{folder} can't be read ({error.strerror or error}); check its permissions.") from error


_VARIANT = r"[A-Za-z]\w*"
_INDEX = rf"STEM(?:\.(?P<before>{_VARIANT}))?\.safetensors\.index(?:\.(?P<after>{_VARIANT}))?\.json"
_FILE = (
    rf"STEM(?:\.(?P<before>{_VARIANT}))?(?:-(?P<number>\d{{5}})-of-(?P<count>\d{{5}}))?(?:\.(?P<after>{_VARIANT}))?"
    r"\.safetensors"
)


def _pattern(text: str, stem: str) -> re.Pattern[str]:
    return re.compile(text.replace("STEM", re.escape(stem)))
