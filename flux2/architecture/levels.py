"""The levels of quantization: how many bits each gives to which weight. The one table that names them.

Menus, options, plans, files, tables of the benchmark and checks follow from it; the first is the checkpoint's own, and
of each two the better one stands first.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

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
    finer: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """Bits of the codes of some layers, and patterns of their paths: more than the others have."""

    @cache  # noqa: B019 — there are as many levels as in the table
    def bits_of(self, name: str) -> int | None:
        """Bits of the codes of one Linear, by its path or its weight's name."""
        layer = name.removesuffix(".weight")
        found = (bits for bits, patterns in self.finer if any(fnmatchcase(layer, pattern) for pattern in patterns))
        return next(found, self.bits)

    @property
    def bytes_per_number(self) -> float | None:
        """Bytes of a weight's number: its code, and its share of its group's scale and bias."""
        return stored_bytes(GROUP, self.bits) / GROUP if self.bits else None


_WHERE_IT_MATTERS = (
    (8, ("x_embedder", "context_embedder", "proj_out", "*.linear_2", "*.to_v", "*.add_v_proj")),
    (6, ("transformer_blocks.*.to_out.0", "*.add_q_proj", "*.add_k_proj", "single_stream_modulation.*")),
)
"""Layers whose rounding to 4 bits changes the picture most for each bit that it saves: measured with pocket, one kind
of layer rounded at a time, the error of the final latents by the layers' share of all numbers. What goes in and comes
out is first (2.8 and 3.0, in units of which a single block's matrices have 0.06 to 0.08), then come the double blocks'
values, then their queries and keys of the text. All of them together take at most a quarter of a bit per weight."""

LEVELS = {
    level.name: level
    for level in (
        Level("bf16", "b", "As trained: the reference, and the most memory."),
        Level("qint8", "q", "8 bits per weight: half the memory, hard to tell apart.", 8),
        Level("int6", "6", "6 bits per weight: two fifths, nearly as good.", 6),
        Level("int5", "5", "5 bits per weight: a third, fine details may change.", 5),
        Level(
            "int4-mixed",
            "m",
            "4 bits, and 6 or 8 where they matter most: nearer than int4.",
            4,
            finer=_WHERE_IT_MATTERS,
        ),
        Level("int4", "i", "4 bits per weight: a quarter, small details may change.", 4),
    )
}


def stored_bytes(numbers: int, bits: int) -> int:
    """Bytes of a quantized weight of so many numbers: their codes, and the scale and bias of each group."""
    return numbers * bits // 8 + 4 * numbers // GROUP
