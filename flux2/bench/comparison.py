"""Each measured figure beside the document's, the planner's and the target's: what every table and test looks at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flux2.bench.document import FIGURES, SIZE, Figure, document_figure
from flux2.bench.prediction import predict
from flux2.bench.targets import Key, target

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure of one cell. MiB."""

    key: Key
    measured: float
    least: float
    most: float
    """Highest of all runs, as `least` is the lowest."""
    document: float | None
    planned: float | None
    target: int | None

    @property
    def ratio(self) -> float | None:
        """To the document's."""
        return self.measured / self.document if self.document else None

    @property
    def difference(self) -> float | None:
        """Difference of what was planned from what was measured, % of the latter."""
        return None if self.planned is None else 100 * (self.planned / self.measured - 1)

    @property
    def met(self) -> bool | None:
        """Whether the target is reached, to the MiB that it is given in."""
        return None if self.target is None else round(self.measured) <= self.target

    def as_dict(self) -> dict[str, Any]:
        """Values for the JSON of a report: MiB and %."""
        values = {
            "measured": self.measured,
            "document": self.document,
            "ratio": self.ratio,
            "planned": self.planned,
            "difference_percent": self.difference,
            "target": self.target,
        }
        rounded = {name: None if value is None else round(value, 3) for name, value in values.items()}
        return {**rounded, "met": self.met}


def compare(report: dict[str, Any], cell: dict[str, Any]) -> Iterator[tuple[Figure, Comparison]]:
    """Every figure of a cell that was measured, in the order of the tables."""
    planned = predict(report, cell)
    size = (cell["width"], cell["height"])
    for figure in FIGURES:
        if figure.key not in cell["figures"]:
            continue
        key = Key(figure.key, cell["model"], cell["quantization"], cell["residency"], max(size))
        real = report["divisor"] == 1 and (not figure.of_size or size[0] == size[1])
        like_the_documents = real and key.residency == "resident" and (not figure.of_size or key.side == SIZE)
        least, most = cell["spread"]["figures"][figure.key]
        yield (
            figure,
            Comparison(
                key=key,
                measured=cell["figures"][figure.key] / MIB,
                least=least / MIB,
                most=most / MIB,
                document=document_figure(figure, key.model, key.quantization) if like_the_documents else None,
                planned=planned[figure.key] / MIB if figure.key in planned else None,
                target=target(key) if real else None,
            ),
        )


def measured_cells(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that did not fail."""
    return [cell for cell in report["cells"] if "error" not in cell]
