"""One file of weights: which network it holds, in whose spelling, and the sizes that its shapes tell.

Read from the header alone, without MLX. Only counts of blocks and numbers of rows are looked at: columns may be packed.
What no shape tells (rotations, epsilons, groups of norms) is the config of the model that the file is of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flux2.architecture.bfl_names import bfl_autoencoder_name, bfl_transformer_place
from flux2.checkpoint.foreign_formats import refuse_foreign
from flux2.checkpoint.gguf_header import is_gguf, read_gguf_header
from flux2.checkpoint.header import METADATA, read_json_header
from flux2.checkpoint.impostors import impostor
from flux2.checkpoint.model_files import Spelling
from flux2.checkpoint.remedies import fetch_again
from flux2.errors import CheckpointError

PartName = Literal["transformer", "vae", "text_encoder"]

_LANDMARKS: tuple[tuple[PartName, Spelling, str], ...] = (
    ("transformer", "bfl", "double_stream_modulation_img.lin."),
    ("transformer", "diffusers", "double_stream_modulation_img.linear."),
    ("vae", "bfl", "decoder.up.0.block.0.conv1."),
    ("vae", "diffusers", "decoder.up_blocks.0.resnets.0.conv1."),
    ("text_encoder", "diffusers", "model.language_model.layers.0.self_attn.q_proj."),
    ("text_encoder", "diffusers", "model.layers.0.self_attn.q_proj."),
)
"""Beginning of a tensor's name that each network has and no other; the first that is found is what a file is for."""

_OTHERS = (
    (re.compile(r"(^|\.)double_blocks\.0\.img_mod\.|(^|\.)transformer_blocks\.0\.norm1\.linear\."), "FLUX.1"),
    (re.compile(r"(^|\.)joint_blocks\.0\."), "Stable Diffusion 3"),
    (
        re.compile(r"(^|\.)(input_blocks|down_blocks)\.1\.1?\.?(attentions|transformer_blocks|0\.|1\.)"),
        "Stable Diffusion",
    ),
    (re.compile(r"(^|\.)transformer_blocks\.0\.img_mod\."), "Qwen-Image"),
    (re.compile(r"(^|\.)noise_refiner\."), "Z-Image or Lumina"),
    (re.compile(r"^blk\.0\."), "a language model for llama.cpp, whose names and order are its own"),
)
"""What other networks' tensors are called, and whose they are."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds."""

    path: Path
    part: PartName
    spelling: Spelling
    prefix: str
    """What stands before the names of all the network's tensors."""
    shapes: Mapping[str, tuple[int, ...]]
    """Shapes of the network's tensors by name, as they are stored."""

    def sizes(self) -> dict[str, Any]:
        """Values of its config that follow from the shapes, under diffusers' names; empty for a text encoder.

        Raises:
            CheckpointError: if the network lacks what tells them.
        """
        try:
            return _SIZES[self.part](self)
        except LookupError as error:
            raise CheckpointError(
                f"{self.path} holds only a part of {_PARTS[self.part]}: {error.args[0]} is missing; use a whole file."
            ) from error

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the tensor that has this name in the network.

        Raises:
            LookupError: naming the tensor, if the file has none.
        """
        known = self._name(name)
        for candidate in (known, known.removesuffix(".scale") + ".weight", f"{known}._data"):
            if candidate in self.shapes:
                return self.shapes[candidate]
        raise LookupError(known)

    def has(self, name: str) -> bool:
        """Whether the file has the tensor that has this name in the network."""
        try:
            return bool(self.shape(name)) or True
        except LookupError:
            return False

    def _name(self, name: str) -> str:
        if self.spelling != "bfl":
            return name
        return (
            bfl_transformer_place(name).name if self.part == "transformer" else bfl_autoencoder_name(name, self.levels)
        )

    @property
    def levels(self) -> int:
        """Resolutions of an autoencoder."""
        pattern = re.compile(r"decoder\.up(?:_blocks)?\.(\d+)\.")
        return 1 + max((int(found[1]) for name in self.shapes if (found := pattern.match(name))), default=0)


def look_into(path: Path) -> Contents:
    """What a file holds.

    Raises:
        CheckpointError: one sentence, if it can't be read, or holds nothing of FLUX.2's: what it holds instead.
    """
    shapes = stored_shapes(path)
    refuse_foreign(path, {}, shapes)
    for part, spelling, landmark in _LANDMARKS:
        place = re.compile(rf"(?:^|\.){re.escape(landmark)}")
        found = next((match for name in shapes if (match := place.search(name))), None)
        if found:
            prefix = found.string[: found.end() - len(landmark)]
            mine = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
            return Contents(path, part, spelling, prefix, mine)
    other = next((whose for pattern, whose in _OTHERS if any(pattern.search(name) for name in shapes)), "")
    if other:
        raise CheckpointError(f"{path} is {_of(other)}, and no part of FLUX.2; use a FLUX.2 file, or a model's name.")
    names = ", ".join(list(shapes)[:2]) or "nothing"
    raise CheckpointError(
        f"{path} holds no transformer, autoencoder or text encoder of FLUX.2 (but {names}); use one, or a model's name."
    )


def stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a file's tensors by name, as they are stored.

    Raises:
        CheckpointError: if the file can't be read.
    """
    if is_gguf(path):
        return {name: tensor.shape for name, tensor in read_gguf_header(path).tensors.items()}
    try:
        entries = read_json_header(path).entries
    except CheckpointError as error:
        if path.suffix.lower() != ".gguf" or not path.is_file() or impostor(path):
            raise
        raise CheckpointError(f"{path} is no GGUF file; {fetch_again(path)}.") from error
    return {name: _shape(entry) for name, entry in entries.items() if name != METADATA}


def _shape(entry: object) -> tuple[int, ...]:
    """The shape in a header's entry; () where it makes no sense, which whoever reads the tensor says."""
    shape = entry.get("shape") if isinstance(entry, dict) else None
    whole = isinstance(shape, list) and all(type(side) is int and side >= 0 for side in shape)
    return tuple(shape) if whole and isinstance(shape, list) else ()


def _of(other: str) -> str:
    return other if other.startswith("a ") else f"a network of {other}'s"


def _blocks(names: Iterable[str], *kinds: str) -> int:
    """How many blocks there are of a kind, whose names begin so."""
    pattern = re.compile(rf"(?:{'|'.join(kinds)})\.(\d+)\.")
    return 1 + max((int(found[1]) for name in names if (found := pattern.match(name))), default=-1)


def _transformer_sizes(contents: Contents) -> dict[str, Any]:
    width = contents.shape("x_embedder.weight")[0]
    head_dim = contents.shape("transformer_blocks.0.attn.norm_q.weight")[0]
    return {
        "num_attention_heads": width // max(1, head_dim),
        "attention_head_dim": head_dim,
        "num_layers": _blocks(contents.shapes, "double_blocks", "transformer_blocks"),
        "num_single_layers": _blocks(contents.shapes, "single_blocks", "single_transformer_blocks"),
        "mlp_ratio": contents.shape("transformer_blocks.0.ff.linear_in.weight")[0] / 2 / max(1, width),
        "guidance_embeds": contents.has("time_guidance_embed.guidance_embedder.linear_1.weight"),
    }


def _autoencoder_sizes(contents: Contents) -> dict[str, Any]:
    levels = contents.levels
    if not contents.has("bn.running_mean"):
        raise CheckpointError(
            f"{contents.path} is an autoencoder without the statistics (bn.running_mean) that FLUX.2's has, FLUX.1's "
            "for one; use a FLUX.2 file such as flux2-vae.safetensors."
        )
    encoder = [contents.shape(f"encoder.down_blocks.{level}.resnets.0.conv1.bias")[0] for level in range(levels)]
    decoder = [contents.shape(f"decoder.up_blocks.{level}.resnets.0.conv1.bias")[0] for level in range(levels)]
    decoder.reverse()
    resnets = 0
    while contents.has(f"encoder.down_blocks.0.resnets.{resnets}.conv1.bias"):
        resnets += 1
    return {
        "block_out_channels": encoder,
        "decoder_block_out_channels": None if decoder == encoder else decoder,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": resnets,
    }


_PARTS = {"transformer": "a transformer", "vae": "an autoencoder", "text_encoder": "a text encoder"}
_SIZES: dict[PartName, Callable[[Contents], dict[str, Any]]] = {
    "transformer": _transformer_sizes,
    "vae": _autoencoder_sizes,
    "text_encoder": lambda _: {},
}
