"""Whether a LoRA fits a model, and which rows of which matrices each of its modules changes; else why not.

All of a file fits, or nothing is done with it. Needs no MLX, so that the screen may ask, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from flux2.architecture.transformer import Flux2TransformerConfig, transformer_shapes
from flux2.checkpoint.remedies import fetch_again
from flux2.errors import LoraError
from flux2.humanize import printable
from flux2.lora.lora_file import FLOATS, Factor, FileModule, LoraFile
from flux2.lora.made_for import made_for, misfit
from flux2.lora.names import find_module
from flux2.lora.rows import Matrix, Rows, fits, rows_of


@dataclass(frozen=True, slots=True)
class Change:
    """What a module of a file does to the model."""

    module: FileModule
    shape: Matrix
    strength: float
    """The factor in front of its product, at scale 1."""
    rows: tuple[Rows, ...]


@dataclass(frozen=True, slots=True)
class FittedLora:
    """A file that fits a model."""

    file: LoraFile
    changes: tuple[Change, ...]
    matrices: int
    """Number of the model's that are changed."""
    of: int
    """Number of all that could be."""

    def summary(self, name: str, scale: float) -> str:
        """One sentence on what it does in a run."""
        text = f"{name} at {scale:g} changes {self.matrices} of the transformer's {self.of} matrices"
        if self.file.text_encoder:
            text += f"; its {self.file.text_encoder} tensors for a text encoder are not used"
        return f"{text}."


def fit(file: LoraFile, config: Flux2TransformerConfig, model: str = "this model") -> FittedLora:
    """Match every module of a file with the model's matrices, by name and shape.

    Args:
        model: its name, for the sentences.

    Raises:
        LoraError: one sentence that says what the file was made for, as far as that can be seen.
    """
    name, shapes = printable(file.path.name), transformer_shapes(config)
    strangers = [*file.unknown, *(module.name for module in file.modules if find_module(module.name) is None)]
    if strangers:
        raise LoraError(_stranger(name, file, [printable(stranger) for stranger in strangers]))
    if not file.modules:
        what = "changes a text encoder alone, which is not used" if file.text_encoder else "holds no changes at all"
        raise LoraError(f"{name} {what}; use a LoRA made for FLUX.2's transformer.")
    sizes = {module.name: matrix(file.path, module) for module in file.modules}
    places = {module.name: find_module(module.name) or () for module in file.modules}
    too_much = [module for module, size in sizes.items() if not fits(places[module], size, shapes)]
    if too_much:
        raise LoraError(misfit(name, made_for(sizes), printable(too_much[0]), config, model))
    changes = tuple(
        Change(
            module,
            sizes[module.name],
            file.strength(module, (module.name, *(place.path for place in places[module.name])), _rank(module)),
            tuple(row for place in places[module.name] for row in rows_of(place, shapes)),
        )
        for module in file.modules
    )
    _check_once(name, changes)
    if all(change.strength == 0 for change in changes):
        raise LoraError(f"{name} changes nothing: every alpha in it is 0; save it again after training.")
    matrices = {row.path for change in changes for row in change.rows}
    return FittedLora(file, changes, len(matrices), sum(len(shape) == 2 for shape in shapes.values()))


def matrix(path: Path, module: FileModule) -> Matrix:
    """Outputs and inputs of what a module changes.

    Raises:
        LoraError: if one of its factors is missing, or they do not belong together.
    """
    factors, name = module.factors, f"{path}: {printable(module.name)}"
    for factor in factors.values():
        if factor.dtype not in FLOATS:
            raise LoraError(f"{name} is {factor.dtype}, which is not read; save it as float32, float16 or bfloat16.")
        if len(factor.shape) != 2 or not all(factor.shape):
            raise LoraError(f"{name} has the shape {list(factor.shape)}, no matrix; use a LoRA made for FLUX.2.")
    try:
        if module.kind == "lora":
            return _product(factors, "up", "down")
        if module.kind == "diff":
            outputs, inputs = factors["diff"].shape
            return outputs, inputs
        if module.kind == "loha":
            first, second = (_product(factors, f"hada_{which}_a", f"hada_{which}_b") for which in ("w1", "w2"))
            if first != second:
                raise ValueError
            return first
        (a, b), (c, d) = (_kron_factor(factors, f"lokr_{which}") for which in ("w1", "w2"))
        return a * c, b * d
    except KeyError as error:
        raise LoraError(f"{name} lacks its factor {error}: half of it is missing; {fetch_again(path)}.") from error
    except ValueError as error:
        shown = ", ".join(f"{role} {list(factor.shape)}" for role, factor in factors.items())
        raise LoraError(f"{name} has factors that do not belong together ({shown}); {fetch_again(path)}.") from error


def _product(factors: Mapping[str, Factor], left: str, right: str) -> Matrix:
    """Shape of the product of two factors. Raises KeyError without one, ValueError if they can't be multiplied."""
    (outputs, rank), (other, inputs) = (factors[role].shape for role in (left, right))
    if rank != other:
        raise ValueError
    return outputs, inputs


def _kron_factor(factors: Mapping[str, Factor], name: str) -> Matrix:
    if name in factors:
        outputs, inputs = factors[name].shape
        return outputs, inputs
    return _product(factors, f"{name}_a", f"{name}_b")


def _rank(module: FileModule) -> int | None:
    """What its alpha is divided by; None where no factor is of low rank."""
    roles = ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b")
    return next((module.factors[role].shape[0] for role in roles if role in module.factors), None)


def _check_once(name: str, changes: tuple[Change, ...]) -> None:
    """Raises LoraError if two modules change the same rows: which of them is meant can't be told."""
    rows = sorted(row for change in changes for row in change.rows)
    for row, after in pairwise(rows):
        if row.path == after.path and after.first < row.first + row.length:
            raise LoraError(f"{name} changes {row.path} twice, under two names; save it again in one layout.")


def _stranger(name: str, file: LoraFile, strangers: list[str]) -> str:
    origin = made_for({module.name: matrix(file.path, module) for module in file.modules}, strangers)
    if origin:
        return f"{name} was made for {origin}; use a LoRA made for FLUX.2."
    others = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
    what = strangers[0][:120]
    return f"{name} changes {what}{others}, which FLUX.2's transformer has not; use a LoRA made for FLUX.2."
