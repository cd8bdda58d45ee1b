"""The model that a single file of weights is of: its configs, and its other parts, go with the file.

Shapes tell the family; whether a Klein is distilled or base no shape tells. The file's name is a hint, and what is
taken from it is said; where it says nothing the user is asked for `--base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2.architecture.catalog import MODELS, ModelCard, find_card
from flux2.architecture.model_names import read_name
from flux2.architecture.published import ARCHITECTURES
from flux2.checkpoint.files import CHECKPOINT_PARTS, read_index
from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.model_files import ModelFiles, PartFiles
from flux2.checkpoint.single_file import Contents
from flux2.errors import RequestError
from flux2.humanize import either
from flux2.paths import pocket_checkpoint
from flux2.store.local import find_local, resolve_name
from flux2.store.unknown_model import why_no_model

_TOLD = ("num_layers", "num_single_layers", "guidance_embeds")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A model whose configs are known, whether it is on this disk or not."""

    name: str
    card: ModelCard | None
    index: Mapping[str, Any]
    configs: Mapping[str, Mapping[str, Any]]
    """Configs by the names of `CHECKPOINT_PARTS`."""


def read_base(name: str) -> BaseModel:
    """The configs of a model of the catalog, a folder, or a repository that is on this disk.

    Raises:
        RequestError: if there is no such model, or nothing of it is here.
        CheckpointError: if one of its configs can't be read.
    """
    card = find_card(name)
    if card and card.name in ARCHITECTURES:
        known = ARCHITECTURES[card.name]
        configs = {part: getattr(known, part) for part in CHECKPOINT_PARTS}
        return BaseModel(name=card.name, card=card, index=known.index, configs=configs)
    folder = find_local(name)
    if folder is None:
        reason = why_no_model(name) or f"Nothing of {name} is here; `flux2 models download {name}` brings it."
        raise RequestError(f"--base: {reason}")
    configs = {part: read_json(folder / part / files.config) for part, files in CHECKPOINT_PARTS.items()}
    return BaseModel(name=name, card=card, index=read_index(folder), configs=configs)


def published_files(base: BaseModel) -> ModelFiles:
    """The configs of a model under paths where nothing has to be, for a plan of what is not here."""
    configs = {part: (config, Path(base.name) / part / "config.json") for part, config in base.configs.items()}
    parts = {
        part: PartFiles(place=path.parent, config=config, config_path=path) for part, (config, path) in configs.items()
    }
    return ModelFiles(place=Path(base.name), index=base.index, parts=parts, tokenizer=None)


def bases_of(contents: Contents) -> tuple[str, ...]:
    """Names of the catalog's models that have a transformer of these sizes.

    Raises:
        CheckpointError: if the file lacks what tells its sizes.
    """
    sizes = contents.sizes()
    return tuple(name for name in MODELS if _fits(sizes, _transformer_config(name)))


def choose_base(contents: Contents, said: str | None = None) -> tuple[str, bool]:
    """The model that a file with a transformer is of, and whether only the file's name tells so.

    Args:
        said: what the user says it is: a catalog name, a Hub repository or a folder; None for nothing.

    Raises:
        RequestError: if it can't be told, or what the user says can't be.
        CheckpointError: if the file lacks what tells its sizes.
    """
    fitting = bases_of(contents)
    if said:
        said = resolve_name(said)
        card = find_card(said)
        if card and fitting and card.name not in fitting:
            raise RequestError(
                f"{contents.path} is a transformer of {either(fitting)} ({_told(contents)}), and not of "
                f"{card.name}; leave --base out, or name one of these."
            )
        return (card.name if card else said), False
    if len(fitting) == 1:
        return fitting[0], False
    hint = read_name(contents.path.name)
    if hint.card in fitting:
        return hint.card, True
    if hint.base in fitting and "base" in hint.base:  # a distilled model's name says nothing of that
        return hint.base, True
    if fitting:
        choices = either([f"--base {name} ({MODELS[name].steps} steps)" for name in fitting])
        raise RequestError(
            f"{contents.path} is a transformer of {either(fitting)}, which its weights do not tell apart: say "
            f"{choices}."
        )
    raise RequestError(
        f"{contents.path} is a FLUX.2 transformer of no known size ({_told(contents)}); name with --base the model or "
        "folder whose text encoder and autoencoder go with it."
    )


def alike(base: str) -> tuple[str, ...]:
    """Names of the catalog's models that have the same other parts, the model itself first."""
    if base not in ARCHITECTURES:
        return (base,)
    mine = ARCHITECTURES[base]
    others = (
        name
        for name, known in ARCHITECTURES.items()
        if name != base and (known.text_encoder, known.vae) == (mine.text_encoder, mine.vae)
    )
    return (base, *others)


def _transformer_config(name: str) -> Mapping[str, Any]:
    if name in ARCHITECTURES:
        return ARCHITECTURES[name].transformer
    return read_json(Path(pocket_checkpoint()) / "transformer" / "config.json")


def _fits(sizes: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    return _width(sizes) == _width(config) and all(sizes[key] == config[key] for key in _TOLD)


def _width(config: Mapping[str, Any]) -> int:
    return int(config["num_attention_heads"] * config["attention_head_dim"])


def _told(contents: Contents) -> str:
    sizes = contents.sizes()
    return f"width {_width(sizes)}, {sizes['num_layers']} double and {sizes['num_single_layers']} single blocks"
