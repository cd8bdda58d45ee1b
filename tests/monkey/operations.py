"""What can be done to the screen, as data that is written down and read back, one operation a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

KINDS = {
    "type": "keys, pastes and clicks that the terminal sends in one write; {pictures} is the pictures' folder",
    "resize": "the terminal's columns and rows",
    "worker": "what happens to the worker, a method of SimulatedWorker, and how often",
    "disk": "what happens on the disk, of files.HAPPENINGS, and the seed of its chances",
    "wait": "seconds that pass",
    "offered": "the footer's key of this number is pressed, and must have an effect",
    "rest": "all comes to rest, and is looked at",
}


@dataclass(frozen=True, slots=True)
class Operation:
    kind: str
    """One of `KINDS`."""
    texts: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()

    @property
    def line(self) -> str:
        return json.dumps([self.kind, *self.texts, *self.numbers])

    @property
    def count(self) -> int:
        """Operations that it counts for: each key and click of one write is one, and looking is none."""
        return {"type": len(self.texts), "rest": 0}.get(self.kind, 1)


REST = Operation("rest")


def typed(*texts: str) -> Operation:
    return Operation("type", texts)


def counted(operations: Iterable[Operation]) -> int:
    return sum(operation.count for operation in operations)


def read_operations(lines: Iterable[str]) -> Iterator[Operation]:
    """What `Operation.line` has written.

    Raises:
        ValueError: if a line is none.
    """
    for line in lines:
        kind, *rest = json.loads(line)
        if kind not in KINDS:
            raise ValueError(f"no operation: {line}")
        texts = tuple(part for part in rest if isinstance(part, str))
        yield Operation(kind, texts, tuple(rest[len(texts) :]))
