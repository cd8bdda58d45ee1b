"""What a request's LoRAs take in memory, told from headers before anything is loaded. No MLX: the screen asks, too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.errors import Flux2Error
from flux2.inputs.loras import Lora, is_hub_name
from flux2.lora.finding import find_local_lora, find_lora
from flux2.lora.fit import FittedLora, fit
from flux2.lora.kept import kept_bytes
from flux2.lora.lora_file import read_lora_file

_KEPT = 256


def lora_bytes(loras: Sequence[Lora], config: Flux2TransformerConfig, dtype: str) -> int:
    """Bytes that the LoRAs hold beside the weights in a run that computes in `dtype`.

    What is not here yet, or does not fit, counts for nothing: the run downloads it, or says why it can't be applied.
    """
    found = []
    for lora in loras:
        path = find_local_lora(lora.name) if lora.scale else None
        if path and not isinstance(fitted := look(path, config), str):
            found.append(fitted)
    return kept_bytes(found, dtype)


def refuse_misfits(loras: Sequence[Lora], config: Flux2TransformerConfig, model: str) -> None:
    """Say of LoRAs what a run would say that can't use them; those on the Hub alone are left to it.

    Raises:
        RequestError: if there is no such file.
        LoraError: if one can't be applied to this model.
        CheckpointError: if one is damaged.
    """
    for lora in loras:
        path = find_local_lora(lora.name)
        if path is not None or not is_hub_name(lora.name):
            fit(read_lora_file(path or find_lora(lora)), config, model)


def look(path: Path, config: Flux2TransformerConfig, model: str = "this model") -> FittedLora | str:
    """A file as it fits a model; or the sentence on why not."""
    try:
        found = path.stat()
        return _look(path, found.st_size, found.st_mtime_ns, config, model)
    except OSError as error:
        return f"{path} can't be read ({error.strerror or error}); check the disk and the path."


@lru_cache(maxsize=_KEPT)
def _look(path: Path, _size: int, _changed: int, config: Flux2TransformerConfig, model: str) -> FittedLora | str:
    try:
        return fit(read_lora_file(path), config, model)
    except Flux2Error as error:
        return str(error)
