"""The config files of a model, found without MLX: in its folder or, where it was not downloaded, as they are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from flux2.architecture.autoencoder import AutoencoderConfig
from flux2.architecture.catalog import find_card
from flux2.architecture.guidance import Guidance, guidance_of
from flux2.architecture.language_model import LanguageModelConfig
from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.parts_fit import check_parts_fit
from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.reference_caching import caches_references
from flux2.architecture.text_encoder import find_text_encoder
from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.checkpoint.files import TOKENIZER, read_index, read_length
from flux2.checkpoint.json_file import read_json
from flux2.errors import CheckpointError, RequestError
from flux2.paths import quantized_folder
from flux2.request import QUANTIZATIONS
from flux2.store.local import find_local, find_local_vae
from flux2.store.source import repo_to_download


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """What a model's config files say."""

    transformer: Flux2TransformerConfig
    text_encoder: LanguageModelConfig
    vae: AutoencoderConfig
    guidance: Guidance
    text_tokens: int = MAX_TEXT_TOKENS
    """Text tokens that it was trained with."""
    caches_references: bool = False
    """Whether it was trained for references whose keys and values are cached."""
    prepared: frozenset[str] = frozenset()
    """The levels that `flux2 quantize` has made files of."""


def find_networks(model: str, vae: str | None = None) -> Networks:
    """The config files of a model on this machine, or of one of the catalog that was not downloaded.

    Args:
        vae: another autoencoder, as in a request; one that is not on this machine is taken for the model's own.

    Raises:
        RequestError: if it is neither.
        CheckpointError: if a config file can't be read or describes no network that runs here, or parts do not fit.
    """
    folder = find_local(model)
    networks, other = _find_networks(model, folder), find_local_vae(vae) if vae else None
    folders = {part: (folder or Path(model)) / part for part in ("transformer", "text_encoder", "vae")}
    if other:
        config = ConfigFile.read(other)
        networks, folders["vae"] = (
            replace(networks, vae=AutoencoderConfig.from_dict(config.values, str(config.path))),
            other,
        )
    check_parts_fit(networks.transformer, networks.text_encoder, networks.vae, folders)
    return networks


def prepared_levels(folder: Path) -> frozenset[str]:
    """The levels that `flux2 quantize` was run for, of a checkpoint in this folder; the files are not looked into."""
    return frozenset(level for level in QUANTIZATIONS if quantized_folder(folder / "transformer", level).exists())


def _find_networks(model: str, folder: Path | None) -> Networks:
    try:
        if folder:
            index = read_index(folder)
            configs = {part: ConfigFile.read(folder / part) for part in ("transformer", "text_encoder", "vae")}
            return networks_of(folder, index, **configs)
    except CheckpointError:
        if not repo_to_download(model):  # else its download was broken off, and a run completes it
            raise
    card = find_card(model)
    if card is None or card.name not in ARCHITECTURES:
        repo = repo_to_download(model)
        raise RequestError(
            f"Not all of {repo} is here; `flux2 models download {repo}` brings it, and it can be planned."
        )
    known = ARCHITECTURES[card.name]
    return Networks(
        transformer=Flux2TransformerConfig.from_dict(known.transformer),
        text_encoder=find_text_encoder(known.text_encoder).read_config(known.text_encoder),
        vae=AutoencoderConfig.from_dict(known.vae),
        guidance=guidance_of(known.index),
        caches_references=caches_references(known.index, card.repo),
    )


class ConfigFile(NamedTuple):
    """A config.json as it was read."""

    path: Path
    values: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> ConfigFile:
        """The one in this folder; raises CheckpointError if it can't be read."""
        return cls(folder / "config.json", read_json(folder / "config.json"))


def networks_of(
    folder: Path, index: Mapping[str, Any], *, transformer: ConfigFile, text_encoder: ConfigFile, vae: ConfigFile
) -> Networks:
    """Networks of a checkpoint in this folder, whose model_index.json and configs were read.

    Raises:
        CheckpointError: if one describes no network that runs here, or the tokenizer's config can't be read.
    """
    tokenizer = folder / TOKENIZER / "tokenizer_config.json"
    trained_with = read_length(tokenizer, read_json(tokenizer).get("model_max_length"))
    row = find_text_encoder(text_encoder.values, str(text_encoder.path))
    return Networks(
        transformer=Flux2TransformerConfig.from_dict(transformer.values, str(transformer.path)),
        text_encoder=row.read_config(text_encoder.values, str(text_encoder.path)),
        vae=AutoencoderConfig.from_dict(vae.values, str(vae.path)),
        guidance=guidance_of(index),
        text_tokens=min(MAX_TEXT_TOKENS, trained_with),
        caches_references=caches_references(index, folder),
        prepared=prepared_levels(folder),
    )
