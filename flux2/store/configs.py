"""The config files of a model, found without MLX: in its folder or, where it was not downloaded, as they are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
from flux2.checkpoint.files import read_length
from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.model_files import ModelFiles, files_of_folder
from flux2.errors import CheckpointError, RequestError
from flux2.inputs.checks import QUANTIZATIONS
from flux2.paths import quantized_folder
from flux2.request import GenerationRequest
from flux2.store.assembling import assemble, local_rest, local_vae, refuse_base, single_place, vae_in, with_others
from flux2.store.base_model import published_files, read_base
from flux2.store.local import find_local
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


def find_networks(
    model: str, vae: str | None = None, *, base: str | None = None, text_encoder: str | None = None
) -> Networks:
    """The config files of a model on this machine, or of one of the catalog that was not downloaded.

    Args:
        vae: another autoencoder, as in a request; one that is not on this machine is taken for the model's own.
        base: the model that a single file is of, as in a request.
        text_encoder: another text encoder, as in a request.

    Raises:
        RequestError: if it is neither.
        CheckpointError: if a config file can't be read or describes no network that runs here, or parts do not fit.
    """
    files = find_files(model, vae, base, text_encoder)
    networks = networks_of(files)
    configs = {part: files.parts[part].config_path for part in ("transformer", "text_encoder", "vae")}
    check_parts_fit(networks.transformer, networks.text_encoder, networks.vae, configs)
    return networks


def networks_for(request: GenerationRequest) -> Networks:
    """The config files of what a request names; see `find_networks`."""
    return find_networks(request.model, request.vae, base=request.base, text_encoder=request.text_encoder)


def find_files(model: str, vae: str | None, base: str | None, text_encoder: str | None) -> ModelFiles:
    """The files of what a request names, as far as they are here, else under paths where nothing is.

    Raises as `find_networks` does.
    """
    if place := single_place(model):
        files = assemble(place, base, local_rest, vae=vae, text_encoder=text_encoder)[0]
    else:
        refuse_base(model, base)
        files = _local_files(model) or _published_files(model)
    found = local_vae(vae) if vae else None
    return with_others(files, vae_in(found, files.parts["vae"]) if found else None, text_encoder)


def prepared_levels(transformer: Path) -> frozenset[str]:
    """The levels that `flux2 quantize` was run for, of the transformer in this folder or file."""
    return frozenset(level for level in QUANTIZATIONS if quantized_folder(transformer, level).exists())


def _local_files(model: str) -> ModelFiles | None:
    """The files of a model that is here; None where it is not, or was not fetched wholly."""
    folder = find_local(model)
    try:
        return files_of_folder(folder) if folder else None
    except CheckpointError:
        if not repo_to_download(model):  # else its download was broken off, and a run completes it
            raise
        return None


def _published_files(model: str) -> ModelFiles:
    """The configs of a model of the catalog as they are known, under paths where nothing has to be.

    Raises:
        RequestError: if it is none of the catalog's.
    """
    card = find_card(model)
    if card is None or card.name not in ARCHITECTURES:
        repo = repo_to_download(model)
        raise RequestError(
            f"Not all of {repo} is here; `flux2 models download {repo}` brings it, and it can be planned."
        )
    return published_files(read_base(card.name))


def networks_of(files: ModelFiles) -> Networks:
    """Networks of a model whose configs were read.

    Raises:
        CheckpointError: if one describes no network that runs here, or the tokenizer's config can't be read.
    """
    tokenizer = files.tokenizer and files.tokenizer / "tokenizer_config.json"
    trained_with = (
        read_length(tokenizer, read_json(tokenizer).get("model_max_length")) if tokenizer else MAX_TEXT_TOKENS
    )
    transformer, text_encoder, vae = (files.parts[name] for name in ("transformer", "text_encoder", "vae"))
    row = find_text_encoder(text_encoder.config, str(text_encoder.config_path))
    return Networks(
        transformer=Flux2TransformerConfig.from_dict(transformer.config, str(transformer.config_path)),
        text_encoder=row.read_config(text_encoder.config, str(text_encoder.config_path)),
        vae=AutoencoderConfig.from_dict(vae.config, str(vae.config_path)),
        guidance=guidance_of(files.index),
        text_tokens=min(MAX_TEXT_TOKENS, trained_with),
        caches_references=caches_references(files.index, files.place),
        prepared=prepared_levels(transformer.place),
    )
