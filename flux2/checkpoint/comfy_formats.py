"""What ComfyUI's files say of the format of each quantized layer: JSON in a tensor beside it, or in the metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from flux2.checkpoint.safetensors_file import TensorInfo, read_metadata
from flux2.errors import CheckpointError
from flux2.humanize import printable

_MARKER = ".comfy_quant"
_METADATA = "_quantization_metadata"
_LONGEST_MARKER = 1 << 16  # bytes
_DTYPES = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "int8_tensorwise": "I8"}
"""The type of the codes of each format that is read; endings such as `_rowwise` are told by the scale's shape."""
_STORED_AS = {"F8_E4M3": ("F8_E4M3", "U8"), "F8_E5M2": ("F8_E5M2", "U8"), "I8": ("I8",)}


class LayerFormats:
    """Formats of layers by their names; asks the files only where a layer is not of plain numbers."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self._tensors = tensors

    def dtype(self, layer: str, weight: TensorInfo) -> str:
        """The type of a layer's codes, where its format is one that is read; the weight's own where nothing is said.

        Raises:
            CheckpointError: if it is a format that is not read, or another than the weight's type tells.
        """
        said = self._said(layer, weight)
        if not said:
            return weight.dtype
        name = str(said.get("format", ""))
        dtype = next((dtype for known, dtype in _DTYPES.items() if name.startswith(known)), "")
        rotated = bool(said.get("convrot"))
        if not dtype or rotated or weight.dtype not in _STORED_AS[dtype]:
            what = f"{printable(name[:40]) or 'an unknown format'}{' with ConvRot' * rotated}"
            raise CheckpointError(
                f"{weight.path}: {layer} is kept as {what} of ComfyUI's, which is not read here; use the model's own "
                "bfloat16 or fp8 file, or a GGUF one."
            )
        return dtype

    def _said(self, layer: str, weight: TensorInfo) -> Mapping[str, Any]:
        """What the file says of the layer; empty for nothing."""
        if marker := self._tensors.get(layer + _MARKER):
            return _object(_bytes(marker), marker.name, marker)
        if weight.dtype in ("F32", "F16", "BF16"):
            return {}
        found = self._of_metadata.get(layer)
        return found if isinstance(found, Mapping) else {}

    @cached_property
    def _of_metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for info in {info.path: info for info in self._tensors.values() if info.path.suffix != ".gguf"}.values():
            said = read_metadata(info.path).get(_METADATA)
            layers = _object(str(said).encode(), _METADATA, info).get("layers") if said else None
            found |= layers if isinstance(layers, dict) else {}
        return found


def _bytes(marker: TensorInfo) -> bytes:
    if marker.nbytes > _LONGEST_MARKER:
        raise CheckpointError(f"{marker.path}: tensor {marker.name} is too long to say a format; use another file.")
    try:
        with marker.path.open("rb") as file:
            file.seek(marker.offset)
            return file.read(marker.nbytes)
    except OSError as error:
        raise CheckpointError(f"{marker.path} can't be read ({error.strerror or error}); check the disk.") from error


def _object(text: bytes, name: str, info: TensorInfo) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{info.path}: {name} is no JSON ({error}); download the file again.") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{info.path}: {name} is no JSON object; download the file again.")
    return found
