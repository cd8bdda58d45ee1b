"""Where the tensors of a network lie among a file's, by who wrote it: the names, and the order of rows and axes.

diffusers and transformers   the network's own names, or some with another beginning
BFL, ComfyUI, GGUF           `flux2.architecture.bfl_names`; all of it may stand behind a prefix
mflux                        diffusers' names but for a few, and convolutions in MLX's order
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from flux2.architecture.bfl_names import bfl_autoencoder_name, bfl_transformer_place
from flux2.architecture.shapes import Shapes
from flux2.checkpoint.stored import StoredTensor

Stored = dict[str, StoredTensor]
Arrangement = Callable[[Stored, Shapes], Stored]
"""A file's tensors, under its names, as those of a network with these shapes; what is not of it keeps its name."""


def as_named(stored: Stored, _shapes: Shapes) -> Stored:
    """The tensors as they are."""
    return stored


def under_prefix(prefix: str, inner: Arrangement = as_named) -> Arrangement:
    """An arrangement behind a prefix; what stands beside it in the file is of other networks."""

    def arranged(stored: Stored, shapes: Shapes) -> Stored:
        mine = {name.removeprefix(prefix): tensor for name, tensor in stored.items() if name.startswith(prefix)}
        return inner({name: replace(tensor, name=name) for name, tensor in mine.items()}, shapes)

    return arranged


def bfl_transformer(stored: Stored, shapes: Shapes) -> Stored:
    """A transformer under BFL's names: of one matrix of theirs come three, and the last modulation is turned over."""
    found: Stored = {}
    used: set[str] = set()
    for name in shapes:
        place = bfl_transformer_place(name)
        source = next((other for other in (place.name, _as_weight(place.name)) if other in stored), "")
        if not source:
            continue
        tensor = stored[source]
        rows = tensor.shape[0] if tensor.shape else 0
        if place.third is not None and rows and rows % 3 == 0:  # else its shape is refused as it is
            third = rows // 3
            tensor = tensor.rows(place.third * third, (place.third + 1) * third)
        if place.halves_swapped and rows % 2 == 0:
            tensor = tensor.with_halves_swapped()
        found[name] = replace(tensor, name=name)
        used.add(source)
    return {name: tensor for name, tensor in stored.items() if name not in used} | found


def bfl_autoencoder(levels: int) -> Arrangement:
    """An autoencoder under BFL's names, with so many resolutions; the attention's convolutions become matrices."""

    def arranged(stored: Stored, shapes: Shapes) -> Stored:
        found: Stored = {}
        used: set[str] = set()
        for name, shape in shapes.items():
            source = bfl_autoencoder_name(name, levels)
            if source not in stored:
                continue
            tensor = stored[source]
            if tensor.shape == (*shape, 1, 1) and tensor.encoding is None:
                tensor = tensor.reshaped(shape)
            found[name] = replace(tensor, name=name)
            used.add(source)
        return {name: tensor for name, tensor in stored.items() if name not in used} | found

    return arranged


def mflux(stored: Stored, _shapes: Shapes) -> Stored:
    """Any network as mflux saves it."""
    found = {}
    for name, tensor in stored.items():
        new = next((re.sub(old, new, name) for old, new in _MFLUX if re.search(old, name)), name)
        if len(tensor.shape) == 4:
            tensor = tensor.transposed((0, 3, 1, 2))
        found[new] = replace(tensor, name=new)
    return found


def renamed(pairs: tuple[tuple[str, str], ...], stored: Mapping[str, StoredTensor]) -> Stored:
    """The tensors with the first of these prefixes that fits exchanged: (in the files, in the network)."""
    new_names = {name: renamed_tensor(pairs, name) for name in stored}
    return {new_names[name]: replace(tensor, name=new_names[name]) for name, tensor in stored.items()}


def renamed_tensor(pairs: tuple[tuple[str, str], ...], name: str) -> str:
    """Name of a tensor with the first of these prefixes that fits exchanged."""
    old, new = next((pair for pair in pairs if name.startswith(pair[0])), ("", ""))
    return new + name.removeprefix(old)


_MFLUX = (
    (r"^(transformer_blocks\.\d+\.attn\.to_out)\.(?!0\.)", r"\1.0."),
    (r"^time_guidance_embed\.guidance_linear_", "time_guidance_embed.guidance_embedder.linear_"),
    (r"^time_guidance_embed\.linear_", "time_guidance_embed.timestep_embedder.linear_"),
    (r"(mid_block\.attentions\.0\.to_out)\.(?!0\.)", r"\1.0."),
    (r"^(embed_tokens|layers|norm)\.", r"model.\1."),
)
"""mflux's names and the network's: the text encoder's lack their beginning."""


def _as_weight(name: str) -> str:
    """The other spelling of a norm's weight."""
    return name.removesuffix(".scale") + ".weight" if name.endswith(".scale") else name
