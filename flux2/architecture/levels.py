"""The levels of quantization: how many bits each gives to which weight. The one table that names them.

Menus, options, plans, files, tables of the benchmark and checks follow from it; the first is the checkpoint's own, and
of each two the better one stands first.
"""

from __future__ import annotations

from dataclasses import dataclass

from flux2.architecture.limits import GROUP


@dataclass(frozen=True, slots=True)
class Level:
    """One way of keeping the transformer's Linears."""

    name: str
    letter: str
    """The key that chooses it in a menu."""
    about: str
    """What it is, in a line."""
    bits: int | None = None
    """Bits of a weight's code; None where weights stay as they come."""

    @property
    def bytes_per_number(self) -> float | None:
        """Bytes of a weight's number: its code, and its share of its group's scale and bias."""
        return stored_bytes(GROUP, self.bits) / GROUP if self.bits else None


LEVELS = {
    level.name: level
    for level in (
        Level("bf16", "b", "As trained: the reference, and the most memory."),
        Level("qint8", "q", "8 bits per weight: half the memory, hard to tell apart.", 8),
        Level("int6", "6", "6 bits per weight: two fifths, nearly as good.", 6),
        Level("int5", "5", "5 bits per weight: a third, fine details may change.", 5),
        Level("int4", "i", "4 bits per weight: a quarter, small details may change.", 4),
    )
}


def stored_bytes(numbers: int, bits: int) -> int:
    """Bytes of a quantized weight of so many numbers: their codes, and the scale and bias of each group."""
    return numbers * bits // 8 + 4 * numbers // GROUP
