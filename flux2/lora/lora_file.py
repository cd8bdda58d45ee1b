"""A LoRA's file as it is, before any model is asked: its modules, their factors, and how strongly each is meant.

Everything is told by the header, but for the numbers called alpha. Needs no MLX, so that the screen may ask, too.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from flux2.checkpoint.header import METADATA, Header, read_json_header
from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.remedies import fetch_again
from flux2.errors import LoraError
from flux2.humanize import printable
from flux2.lora.names import is_of_text_encoder

Kind = Literal["lora", "lokr", "loha", "diff"]
"""How a module's change is written: as a product of two matrices, as a Kronecker product of two, as two such products
multiplied number by number, or as it is."""

_PAIR = re.compile(
    r"(?P<module>.+)\.(?:lora_(?P<role>A|B|down|up)|lora\.(?P<old>down|up)|lora_linear_layer\.(?P<older>down|up))"
    r"(?:\.(?P<adapter>(?!weight$|bias$)[^.]+))?(?:\.(?P<tail>weight|bias))?"
)
_DOWN, _UP = "down", "up"
_ROLES = {"A": _DOWN, "B": _UP, _DOWN: _DOWN, _UP: _UP}
_OTHERS: dict[str, Kind] = {
    **dict.fromkeys(("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b"), "lokr"),
    **dict.fromkeys(("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"), "loha"),
    "diff": "diff",
}
"""Last steps of other tensors' names, by the kind of change that they are a factor of."""
ALPHA = "alpha"

_NOT_READ = {
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    "lokr_t2": "a LoKr of convolutions",
    "hada_t1": "a LoHa of convolutions",
    "hada_t2": "a LoHa of convolutions",
    "lora_mid": "a LoRA of convolutions",
    "oft_blocks": "an OFT",
    "oft_diag": "an OFT",
    "oft_R": "an OFT",
    "oft_r": "an OFT",
    "ia3_l": "an (IA)³",
    "on_input": "an (IA)³",
    "vera_lambda_b": "a VeRA",
    "vera_lambda_d": "a VeRA",
    "boft_R": "a BOFT",
    "a1": "a GLoRA",
    "b1": "a GLoRA",
    "diff_b": "a change of biases, which FLUX.2 has not",
    "set_weight": "a replacement of weights",
    "reshape_weight": "made for a model whose matrices were made larger",
}
"""What a file is that has a tensor with such a step in its name, and that can't be computed beside the weights."""

METADATA_KEY = "lora_adapter_metadata"
"""Where diffusers' training scripts keep peft's config in a file."""
CONFIG_FILE = "adapter_config.json"
"""peft's own file beside `adapter_model.safetensors`."""
_NUMBERS = {"F32": "<f", "F64": "<d", "F16": "<e"}
FLOATS = ("F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""Types of factors that are read, by the format's names of them."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A tensor of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    """Without the ones behind the first two, which are there where a matrix is kept as a convolution."""


@dataclass(frozen=True, slots=True)
class FileModule:
    """What a file says of one of its modules."""

    name: str
    """Name in the file, prefix and all."""
    kind: Kind
    factors: Mapping[str, Factor]
    """Tensors by their roles: "down" and "up", or the last steps of their names."""
    alpha: float | None = None
    """Value of its own, where it has one."""


@dataclass(frozen=True, slots=True)
class LoraFile:
    """The file's modules, and what it says of all of them."""

    path: Path
    nbytes: int
    modules: tuple[FileModule, ...]
    text_encoder: int
    """Tensors of a text encoder, which are not used."""
    unknown: tuple[str, ...]
    """Names of tensors that are no part of any change, nor of a text encoder."""
    peft: Mapping[str, Any] = field(default_factory=dict)
    """Keys of peft's config, where there is one, without "transformer."."""

    def strength(self, module: FileModule, paths: Iterable[str], rank: int | None) -> float:
        """The factor in front of a module's product.

        alpha / rank, where alpha is the module's own, else peft's for one of `paths`, else the rank. With
        rank-stabilized LoRA it is divided by the rank's square root.

        Args:
            paths: names of the module under which peft's config may know it.
            rank: None where nothing has one: then alpha, which some files hold nevertheless, means nothing.

        Raises:
            LoraError: if peft's config says what is no number.
        """
        if rank is None:
            return 1.0
        alpha = module.alpha if module.alpha is not None else self._peft_alpha(list(paths))
        stabilized = self.peft.get("use_rslora") is True
        return (rank if alpha is None else alpha) / (math.sqrt(rank) if stabilized and alpha is not None else rank)

    def _peft_alpha(self, paths: list[str]) -> float | None:
        patterns = self.peft.get("alpha_pattern") or {}
        found = self.peft.get("lora_alpha")
        for pattern, alpha in patterns.items() if isinstance(patterns, dict) else ():
            named = pattern.removeprefix("^").removesuffix("$").replace(r"\.", ".")
            if not re.fullmatch(r"[\w.]+", named):
                raise LoraError(
                    f"{self.path} gives alpha by the pattern {pattern!r:.60}, which is not read here; save the LoRA "
                    "with diffusers, which writes names."
                )
            if any(path == named or path.endswith(f".{named}") for path in paths):
                found = alpha
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise LoraError(f"{self.path} says lora_alpha {found!r:.40}, no number; {fetch_again(self.path)}.")
        return float(found)


def read_lora_file(path: Path) -> LoraFile:
    """What a file's header and its alphas say.

    Raises:
        LoraError: one sentence, if the file is of a kind that can't be applied.
        CheckpointError: if it is damaged, or no safetensors file.
    """
    header = read_json_header(path)
    factors: dict[str, dict[str, Factor]] = {}
    kinds: dict[str, Kind] = {}
    alphas: dict[str, float] = {}
    adapters: set[str] = set()
    unknown: list[str] = []
    of_text_encoder = 0
    for name, entry in header.entries.items():
        if name == METADATA:
            continue
        if is_of_text_encoder(name):
            of_text_encoder += 1
            continue
        tensor = _factor(path, name, entry)
        module, _, last = name.rpartition(".")
        if what := next((_NOT_READ[step] for step in name.split(".") if step in _NOT_READ), ""):
            raise LoraError(
                f"{path} is {what} (it holds {printable(name)}), which can't be applied beside the weights; "
                "use a LoRA, a LoKr or a LoHa."
            )
        if pair := _PAIR.fullmatch(name):
            module, last = pair["module"], _ROLES[pair["role"] or pair["old"] or pair["older"]]
            kind: Kind | None = "lora"
            adapters.add(pair["adapter"] or "")
            _check_one(path, adapters)
            if pair["tail"] == "bias":
                raise LoraError(
                    f"{path} has biases (it holds {printable(name)}), which FLUX.2's matrices have not; "
                    "train without them."
                )
        elif last == ALPHA:
            alphas[module] = _alpha(path, header, name, entry)
            continue
        else:
            kind = _OTHERS.get(last)
        if kind is None:
            unknown.append(name)
        elif kinds.setdefault(module, kind) != kind or last in factors.get(module, {}):
            raise LoraError(f"{path} has {printable(module)} twice, in different ways; {fetch_again(path)}.")
        else:
            factors.setdefault(module, {})[last] = tensor
    unknown += [f"{name}.{ALPHA}" for name in alphas if name not in factors]
    modules = tuple(FileModule(name, kinds[name], factors[name], alphas.get(name)) for name in factors)
    return LoraFile(path, header.size, modules, of_text_encoder, tuple(unknown), _peft(path, header))


def _check_one(path: Path, adapters: set[str]) -> None:
    """Raises LoraError if the tensors are of several LoRAs that peft has saved together."""
    if len(adapters) > 1:
        named = ", ".join(sorted(printable(name) or "unnamed" for name in adapters))
        raise LoraError(f"{path} holds several LoRAs in one ({named}); save one of them by itself.")


def _factor(path: Path, name: str, entry: Any) -> Factor:
    """Raises LoraError if the header makes no sense there."""
    try:
        shape, dtype, (begin, end) = entry["shape"], entry["dtype"], entry["data_offsets"]
        numbers = (*shape, begin, end)
        whole = all(type(number) is int and number >= 0 for number in numbers)
        whole = whole and isinstance(dtype, str) and isinstance(shape, list)
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise LoraError(f"{path} has a damaged header at {printable(name)}; {fetch_again(path)}.")
    matrix = tuple(shape[:2]) if set(shape[2:]) <= {1} else tuple(shape)
    return Factor(name, dtype, matrix)


def _alpha(path: Path, header: Header, name: str, entry: Any) -> float:
    """One number out of the file."""
    tensor = _factor(path, name, entry)
    begin, end = entry["data_offsets"]
    with path.open("rb") as file:
        file.seek(header.data_start + begin)
        raw = file.read(min(end - begin, 8))
    if tensor.dtype == "BF16":
        raw, form = b"\0\0" + raw, "<f"
    else:
        form = _NUMBERS.get(tensor.dtype, "")
    if not form or math.prod(tensor.shape) != 1 or len(raw) != struct.calcsize(form):
        raise LoraError(
            f"{path}: {printable(name)} is no number ({tensor.dtype} {list(tensor.shape)}); {fetch_again(path)}."
        )
    value = float(struct.unpack(form, raw)[0])
    if not math.isfinite(value):
        raise LoraError(f"{path}: {printable(name)} is {value}; {fetch_again(path)}.")
    return value


def _peft(path: Path, header: Header) -> dict[str, Any]:
    """peft's config: out of the file's own metadata, or from the file beside it."""
    metadata = header.entries.get(METADATA)
    said = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if said is None:
        beside = path.parent / CONFIG_FILE
        return read_json(beside) if path.name == "adapter_model.safetensors" and beside.is_file() else {}
    try:
        config = json.loads(said)
        if not isinstance(config, dict):
            raise ValueError("no object")
    except (ValueError, TypeError, RecursionError) as error:
        raise LoraError(f"{path} has damaged metadata ({METADATA_KEY}: {error}); {fetch_again(path)}.") from error
    return {key.removeprefix("transformer."): value for key, value in config.items()}
